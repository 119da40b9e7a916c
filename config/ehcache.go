package config

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Names and limits of caches.
const (
	failoverCache = "FAILOVER_CACHE" // always there
	maxCaches     = 64
)

// The keys that an Ehcache file can say something about.
const (
	cacheBind    = "failover.cache.bind"
	cacheGroup   = "failover.cache.group"
	cachePort    = "failover.cache.port"
	cacheEntries = "failover.cache.max.entries"
	cacheEternal = "failover.cache.eternal"
	cacheIdle    = "failover.cache.time.to.idle"
	cacheLive    = "failover.cache.time.to.live"
	cacheAsync   = "failover.cache.replicate.asynchronously"
	cacheTimeout = "failover.cache.socket.timeout"
)

// ehcache reads an ehcache.xml of Ehcache 1 and 2. What has a meaning here ends
// in the fields below; of the rest the names are kept, for one warning.
type ehcache struct {
	l    *loader
	file string

	said   map[string]given // by Key.Name: what counts where the key is not given
	host   string           // of the listener, a name or an IP address
	port   uint16           // of the listener
	ttl    *attribute       // of multicast packets
	manual bool
	peers  []Peer
	caches []CacheSpec
	lines  map[string]int // by name of a cache: the line of its <cache>
	idle   []string       // without meaning here, in the order of the file
	told   int            // warnings, those left out too
}

// parseEhcache reads a file; its faults and warnings go to the loader. nil: it
// is no Ehcache file, or holds too much.
func (l *loader) parseEhcache(file string, b []byte) *ehcache {
	x := &ehcache{l: l, file: file, said: make(map[string]given), lines: make(map[string]int)}
	root, line, bad := parseXML(b)
	switch {
	case bad != nil:
		l.fault(x.place(line), "", bad)
		return nil
	case root.name == "config":
		l.fault(x.place(root.line), "", complain("write the form of Ehcache 2, with the root <ehcache>", "this looks like a file of Ehcache 3"))
		return nil
	case root.name != "ehcache":
		l.fault(x.place(root.line), "", complain("name an Ehcache file", "the root is <%s>, not <ehcache>", root.name))
		return nil
	}
	x.rest(root, idleRoot)
	providers, listeners := 0, 0
	for _, e := range root.kids {
		switch {
		case e.name == "cacheManagerPeerProviderFactory" && x.isClass(e, "RMICacheManagerPeerProviderFactory"):
			providers++
			x.again(e, providers)
			x.provider(e)
		case e.name == "cacheManagerPeerListenerFactory" && x.isClass(e, "RMICacheManagerPeerListenerFactory"):
			listeners++
			x.again(e, listeners)
			x.listener(e)
		case e.name == "cache" && len(x.caches) == maxCaches:
			l.fault(x.place(e.line), "cache", complain("remove some", "there are more than %d caches", maxCaches))
			return nil
		case e.name == "cache":
			x.cache(e)
		case e.name == "defaultCache":
			x.template(e)
		default:
			x.element(e, "ehcache", idleElements)
		}
	}
	x.summary()
	return x
}

func (x *ehcache) place(line int) string { return x.file + ":" + strconv.Itoa(line) }

func (x *ehcache) fault(a *attribute, bad *complaint) { x.l.fault(x.place(a.line), a.name, bad) }

// warn says something, unless enough was said.
func (x *ehcache) warn(line int, name, format string, args ...any) {
	if x.told++; x.told <= maxTold {
		x.l.warnAt(x.place(line), name, format, args...)
	}
}

// again warns of an element that is there more than once. As in Ehcache the
// last counts.
func (x *ehcache) again(e *element, count int) {
	if count > 1 {
		x.warn(e.line, e.name, "it is there already; what this one says counts")
	}
}

// isClass reports whether a factory is the one whose properties are known here.
// Others are passed over.
func (x *ehcache) isClass(e *element, class string) bool {
	a := e.attr("class")
	return a == nil || strings.HasSuffix(strings.TrimSpace(a.value), class)
}

// provider is discovery.
func (x *ehcache) provider(e *element) {
	x.rest(e, idleFactory)
	p := x.properties(e, idleProvider, "peerDiscovery", "multicastGroupAddress", "multicastGroupPort", "timeToLive", "rmiUrls")
	x.say(cacheGroup, p["multicastGroupAddress"])
	x.say(cachePort, p["multicastGroupPort"])
	if x.ttl = p["timeToLive"]; x.ttl != nil {
		x.number(x.ttl, 0, 255)
	}
	x.manual, x.peers = false, nil
	if a := p["peerDiscovery"]; a != nil {
		switch strings.ToLower(a.value) {
		case "automatic":
		case "manual":
			x.manual = true
		default:
			x.fault(a, complain("write automatic or manual", "%s is neither automatic nor manual", quote(a.value)))
			return
		}
	}
	urls := p["rmiUrls"]
	if urls != nil {
		x.rmiURLs(urls)
	}
	switch {
	case urls != nil && !x.manual:
		x.warn(urls.line, urls.name, "it has no effect without peerDiscovery=manual")
		x.peers = nil
	case x.manual && len(x.peers) == 0:
		x.warn(e.line, "rmiUrls", "peerDiscovery is manual, and no peers are named")
	}
}

// rmiURLs takes //host:port/cache|//host:port/cache…
func (x *ehcache) rmiURLs(a *attribute) {
	seen := make(map[Peer]bool)
	for _, url := range splitList(a.value, "|") {
		const instead = "write //host:port/cache with | between them, such as //10.0.0.2:40001/FAILOVER_CACHE"
		address, ok := strings.CutPrefix(strings.TrimPrefix(url, "rmi:"), "//")
		address, _, _ = strings.Cut(address, "/")
		h, p, err := net.SplitHostPort(address)
		n, bad := parsePort(p)
		if !ok || err != nil || bad != nil || !isHost(h) {
			x.fault(a, complain(instead, "%s is not //host:port/cache", quote(url)))
			return
		}
		if peer := (Peer{Host: h, Port: n}); !seen[peer] {
			seen[peer] = true
			x.peers = append(x.peers, peer)
		}
	}
}

// listener is where this instance is reached.
func (x *ehcache) listener(e *element) {
	x.rest(e, idleFactory)
	p := x.properties(e, idleListener, "hostName", "port", "socketTimeoutMillis")
	if a := p["socketTimeoutMillis"]; a != nil && x.number(a, 10, time.Hour.Milliseconds()) >= 0 {
		x.say(cacheTimeout, a)
	}
	x.host, x.port = "", 0
	delete(x.said, cacheBind)
	where := p["hostName"]
	if where != nil {
		if h := unbracket(where.value); isHost(h) {
			x.host = h
		} else {
			x.fault(where, complain("write a host name or an IP address", "%s is not a host", quote(where.value)))
		}
	}
	if a := p["port"]; a != nil {
		if n := x.number(a, 0, math.MaxUint16); n > 0 {
			x.port = uint16(n)
		}
		if where == nil {
			where = a
		}
	}
	if x.host == "" && x.port == 0 {
		return
	}
	host, port := x.host, x.port
	address, err := netip.ParseAddr(host)
	if err == nil && address.IsMulticast() {
		x.fault(where, complain("write an address of this host", "%s is a multicast address", quote(host)))
		return
	}
	text := host
	if port != 0 {
		text = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	x.said[cacheBind] = given{place: x.place(where.line), written: where.name, origin: x.place(where.line), value: text, set: func(s *Settings) {
		s.Cache.Bind = netip.AddrPortFrom(address.Unmap(), port)
		if err != nil {
			s.Cache.Host = host
		}
	}}
}

// cache is one <cache>.
func (x *ehcache) cache(e *element) {
	name := e.attr("name")
	if name == nil {
		x.l.fault(x.place(e.line), "name", complain(`write <cache name="…">`, "missing, every cache needs one"))
		return
	}
	name.value = strings.TrimSpace(name.value)
	if bad := checkCacheName(name.value); bad != nil {
		x.fault(name, bad)
		return
	}
	if line, ok := x.lines[name.value]; ok {
		x.fault(name, complain("choose another name, or remove one of the two", "line %d has a cache %s already", line, quote(name.value)))
		return
	}
	x.lines[name.value] = e.line
	spec, said := x.rules(e)
	spec.Name = name.value
	x.caches = append(x.caches, spec)
	if name.value == failoverCache {
		for key, a := range said {
			x.say(key, a)
		}
	}
}

// template is <defaultCache>: values for caches that a Java program adds while
// it runs. Here none does; it is checked and passed over.
func (x *ehcache) template(e *element) {
	x.rules(e)
	x.without(e.name)
}

// rules reads what a <cache> says beside its name; said are the attributes
// that are there, by the key that means the same for FAILOVER_CACHE.
func (x *ehcache) rules(e *element) (spec CacheSpec, said map[string]*attribute) {
	x.rest(e, idleCache, "name", "maxEntriesLocalHeap", "maxElementsInMemory", "eternal", "timeToIdleSeconds", "timeToLiveSeconds")
	said = make(map[string]*attribute)
	number := func(key string, a *attribute, most, unsaid int64) int64 {
		if a == nil {
			return unsaid
		}
		said[key] = a
		return x.number(a, 0, most)
	}
	const longest = math.MaxInt64 / int64(time.Second)
	entries, older := e.attr("maxEntriesLocalHeap"), e.attr("maxElementsInMemory")
	switch {
	case entries == nil:
		entries = older
	case older != nil:
		x.number(older, 0, math.MaxInt32)
		x.warn(older.line, older.name, "it is the older name of maxEntriesLocalHeap, which is there too and counts")
	}
	var unsaid Settings
	k := keyOf(cacheEntries)
	k.kind.set(&unsaid, k.Default)
	spec.MaxEntries = int(number(cacheEntries, entries, math.MaxInt32, int64(unsaid.Cache.MaxEntries)))
	spec.TimeToIdle = time.Duration(number(cacheIdle, e.attr("timeToIdleSeconds"), longest, 0)) * time.Second
	spec.TimeToLive = time.Duration(number(cacheLive, e.attr("timeToLiveSeconds"), longest, 0)) * time.Second
	if a := e.attr("eternal"); a != nil {
		said[cacheEternal] = a
		spec.Eternal = x.boolean(a)
	}
	replicators := 0
	for _, kid := range e.kids {
		if kid.name != "cacheEventListenerFactory" || !x.isClass(kid, "RMICacheReplicatorFactory") {
			x.element(kid, e.name, idleInCache)
			continue
		}
		replicators++
		x.again(kid, replicators)
		x.rest(kid, idleFactory)
		p := x.properties(kid, idleReplicator, "replicateAsynchronously", "replicatePuts", "replicateUpdates", "replicateRemovals")
		not := func(name string) bool { return p[name] != nil && !x.boolean(p[name]) }
		spec.Synchronous = not("replicateAsynchronously")
		spec.LocalPuts, spec.LocalUpdates, spec.LocalRemovals = not("replicatePuts"), not("replicateUpdates"), not("replicateRemovals")
		delete(said, cacheAsync)
		if a := p["replicateAsynchronously"]; a != nil {
			said[cacheAsync] = a
		}
	}
	if name := e.attr("name"); replicators == 0 && e.name == "cache" {
		if name.value == failoverCache {
			x.warn(e.line, failoverCache, "it has no RMICacheReplicatorFactory, and is replicated nevertheless: that is what it is for")
		} else {
			x.warn(e.line, name.value, "it has no RMICacheReplicatorFactory: as in Ehcache it is not replicated")
			spec.LocalPuts, spec.LocalUpdates, spec.LocalRemovals = true, true, true
		}
	}
	return spec, said
}

// say keeps a value for a key, unless it is at fault.
func (x *ehcache) say(key string, a *attribute) {
	if a == nil {
		return
	}
	value := strings.TrimSpace(a.value)
	if bad := keyOf(key).kind.set(new(Settings), value); bad != nil {
		if key == cacheGroup || key == cachePort { // the others were checked before
			x.fault(a, bad)
		}
		return
	}
	x.said[key] = given{place: x.place(a.line), written: a.name, origin: x.place(a.line), value: value}
}

// number reads a whole number; -1 after a fault.
func (x *ehcache) number(a *attribute, least, most int64) int64 {
	n := int64(-1)
	if bad := integer(least, most, func(*Settings) *int64 { return &n }).set(nil, strings.TrimSpace(a.value)); bad != nil {
		x.fault(a, bad)
	}
	return n
}

func (x *ehcache) boolean(a *attribute) (b bool) {
	if bad := boolean(func(*Settings) *bool { return &b }).set(nil, strings.TrimSpace(a.value)); bad != nil {
		x.fault(a, bad)
	}
	return b
}

func checkCacheName(v string) *complaint {
	const instead = "write 1 to 255 bytes without / and control characters, such as FAILOVER_CACHE"
	switch {
	case v == "":
		return complain(instead, "the name is empty")
	case len(v) > 255:
		return complain(instead, "%s has %d bytes", quote(v), len(v))
	case strings.ContainsFunc(v, forges) || strings.Contains(v, "/"):
		return complain(instead, "%s has a /, a control character, a line separator or a mark that turns the direction of writing", quote(v))
	}
	return nil
}
