package config

import (
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"time"
)

const (
	cacheConfig  = "failover.cache.config"
	ehcacheFile  = "ehcache.xml"
	cacheAlone   = "failover.cache.when.alone"
	cachePromote = "failover.cache.promote.wait"
)

// readEhcache reads the Ehcache file that is named, or that stands beside the
// bootstrap file. What it says counts where the keys say nothing.
func (l *loader) readEhcache() {
	file := l.given[cacheConfig].value
	if file == "" && l.src.File != "" {
		if beside := filepath.Join(filepath.Dir(l.src.File), ehcacheFile); exists(beside) {
			file = beside
			l.computed[cacheConfig] = beside
		}
	}
	if file == "" || !l.sound(cacheConfig) {
		return
	}
	const instead = "name an Ehcache file that exists, or remove the key"
	if l.has(cacheConfig) && !exists(file) {
		l.clash(cacheConfig, instead, "there is no file %s", file)
		return
	}
	b, _, err := readFile(file)
	if err != nil {
		l.clash(cacheConfig, instead, "%v", err)
		return
	}
	l.takeEhcache(file, b)
}

// takeEhcache lets what a file says count where a key is not given.
func (l *loader) takeEhcache(file string, b []byte) {
	l.s.Cache.ConfigFile = file
	if l.xml = l.parseEhcache(file, b); l.xml == nil {
		return
	}
	for i := range keys {
		k := &keys[i]
		g, ok := l.xml.said[k.Name]
		switch {
		case !ok || !l.sound(k.Name):
		case !l.has(k.Name):
			l.given[k.Name] = g
		case l.differs(k, g):
			l.warn(k.Name, "%s: %s says %s; this counts", g.place, g.written, quote(g.value))
		}
	}
	// In Ehcache a cache is eternal only if it says so.
	if line, ok := l.xml.lines[failoverCache]; ok && !l.has(cacheEternal) && l.sound(cacheEternal) {
		place := l.xml.place(line)
		l.given[cacheEternal] = given{place: place, written: "eternal", origin: place, value: "false"}
	}
}

// differs reports whether a key that is given and the Ehcache file say
// different things.
func (l *loader) differs(k *Key, g given) bool {
	var key, file Settings
	if k.kind.set(&key, l.given[k.Name].value) != nil {
		return false
	}
	if k.Name == cacheBind { // the file need not say both
		b := key.Cache.Bind
		return l.xml.port != 0 && l.xml.port != b.Port() || l.xml.host != "" && l.xml.host != b.Addr().String()
	}
	k.kind.set(&file, g.value)
	return !reflect.DeepEqual(key, file)
}

// fillCaches makes the list of caches.
func (l *loader) fillCaches() {
	c := &l.s.Cache
	if l.meetsPings() {
		c.Port = pastPings(l.s.Ping.Port)
		l.computed[cachePort] = strconv.Itoa(int(c.Port))
	}
	own := CacheSpec{
		Name: failoverCache, MaxEntries: c.MaxEntries,
		Eternal: c.Eternal, TimeToIdle: c.TimeToIdle, TimeToLive: c.TimeToLive,
		Synchronous: !c.Asynchronous,
	}
	c.TTL = l.s.Network.TTL
	x := l.xml
	if x == nil {
		c.Caches = []CacheSpec{own}
		return
	}
	c.Manual, c.Peers = x.manual, x.peers
	if x.ttl != nil {
		n, err := strconv.Atoi(x.ttl.value)
		switch {
		case err != nil: // is a fault already
		case !l.has("failover.ttl"):
			c.TTL = n
		case n != c.TTL && l.sound("failover.ttl"):
			l.warn("failover.ttl", "%s: %s says %d; this counts", x.place(x.ttl.line), x.ttl.name, n)
		}
	}
	there := false
	for _, spec := range x.caches {
		if spec.Name == failoverCache {
			there = true
			own.LocalPuts, own.LocalUpdates, own.LocalRemovals = spec.LocalPuts, spec.LocalUpdates, spec.LocalRemovals
			spec = own
		} else if spec.Eternal && (spec.TimeToIdle > 0 || spec.TimeToLive > 0) {
			x.warn(x.lines[spec.Name], spec.Name, "timeToIdleSeconds and timeToLiveSeconds have no effect while eternal is true")
		}
		c.Caches = append(c.Caches, spec)
	}
	if there {
		return
	}
	l.warnAt(x.file, failoverCache, "there is no such cache; it is added, by the keys and their defaults")
	c.Caches = append([]CacheSpec{own}, c.Caches...)
	if len(c.Caches) > maxCaches {
		l.fault(x.file, "cache", complain("remove one", "with %s there are more than %d caches", failoverCache, maxCaches))
	}
}

func (l *loader) relateCache() {
	c := &l.s.Cache
	if l.sound(cacheEternal) && c.Eternal {
		for _, key := range []string{cacheIdle, cacheLive} {
			if g := l.given[key]; l.has(key) && l.sound(key) && g.value != "0" {
				_, eternal := l.where(cacheEternal)
				l.warn(key, "it has no effect while %s is true", eternal)
			}
		}
	}
	if l.sound(cacheAsync) && !c.anySynchronous() {
		for _, key := range []string{cacheAlone, cachePromote} {
			if l.has(key) {
				l.warn(key, "it has no effect: no cache is replicated synchronously")
			}
		}
	} else if l.sound(cachePromote) && c.PromoteWaitForever {
		l.warn(cachePromote, "when a master dies and no slave is sure to hold all it acknowledged, nobody takes over until `interlok-ha promote --force --yes`")
	}
	l.relateSocketTimeout()
	if l.sound(cacheBind) && c.Bind.Addr().IsUnspecified() && len(l.s.Keys) == 0 && l.sound("failover.key", "failover.key.file") {
		l.warn(cacheBind, "it is every address of this host, and without failover.key anyone who reaches one of them can read and write the cache")
	}
	if s := &l.s; l.meetsPings() && l.has(cachePort) && !c.Manual {
		l.warn(cachePort, "it is the port of the pings too, and a Java instance takes all that comes there for pings: the caches look for each other at port %d instead", pastPings(s.Ping.Port))
	}
}

// meetsPings reports whether the caches were to look for each other at the port
// of the pings. A Java instance takes whatever it hears there for a ping, of any
// length: what a cache says is a ping of an instance that does not exist,
// perhaps of a master. Whether it hears other groups is its JDK's choice.
func (l *loader) meetsPings() bool {
	s := &l.s
	return s.Design == Design33 && s.Ping.Mode == SocketMulticast && s.Ping.Port > 0 &&
		l.sound(cachePort, "failover.multicast.port") && l.cachePort() == s.Ping.Port
}

// cachePort is the port as it was given, or by default.
func (l *loader) cachePort() uint16 {
	var given Settings
	k := keyOf(cachePort)
	value := k.Default
	if l.has(cachePort) {
		value = l.given[cachePort].value
	}
	if k.kind.set(&given, value) != nil {
		return 0
	}
	return given.Cache.Port
}

// pastPings is the port where the caches meet if theirs is that of the pings.
func pastPings(port uint16) uint16 {
	if port == math.MaxUint16 {
		return port - 1
	}
	return port + 1
}

func (c *Cache) anySynchronous() bool {
	for _, spec := range c.Caches {
		if spec.Synchronous {
			return true
		}
	}
	return false
}

func (l *loader) relateSocketTimeout() {
	s := &l.s
	if !l.has(cacheTimeout) || !l.sound(cacheTimeout, "failover.delay", "failover.retries", "failover.instance.timeout.seconds") {
		return
	}
	switch timeout := s.Cache.SocketTimeout; {
	case timeout >= s.Down():
		l.warn(cacheTimeout, "it is not shorter than the %v after which a silent master is gone: a synchronous put could wait for a dead slave for as long", s.Down())
	case timeout < 50*time.Millisecond:
		l.warn(cacheTimeout, "under 50ms a busy machine makes slaves fall out of step")
	}
}
