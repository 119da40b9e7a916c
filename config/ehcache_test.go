package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// loadEhcache loads with an ehcache.xml beside the bootstrap file.
func loadEhcache(t *testing.T, text string, sets ...string) (*Settings, error) {
	t.Helper()
	in(t, map[string]string{"bootstrap.properties": "", "ehcache.xml": text})
	src := source(sets...)
	src.File = "bootstrap.properties"
	return Load(src)
}

// wrap puts elements into a file that says nothing else of note: they begin on
// line 2, and FAILOVER_CACHE stands on the last.
func wrap(elements string) string {
	return "<ehcache>\n" + elements + "\n" + `<cache name="FAILOVER_CACHE"><cacheEventListenerFactory/></cache></ehcache>`
}

func TestSeedExample(t *testing.T) {
	b, err := os.ReadFile("testdata/seed-ehcache.xml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadEhcache(t, string(b))
	if err != nil {
		t.Fatal(err)
	}
	if !match(s.Warnings, "ehcache.xml: no meaning here: updateCheck, monitoring, dynamicConfig") {
		t.Errorf("warnings %q", s.Warnings)
	}
	c := s.Cache
	if got, want := strings.TrimSpace(fmt.Sprint(c.Group, c.Port, c.TTL, c.Manual, c.Peers, c.SocketTimeout, c.Bind.IsValid(), c.Host)), "230.0.0.1 4446 1 false [] 200ms false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []CacheSpec{{Name: "FAILOVER_CACHE", MaxEntries: 10, Eternal: true, Synchronous: true}}
	if !reflect.DeepEqual(c.Caches, want) || c.MaxEntries != 10 || !c.Eternal || c.Asynchronous {
		t.Errorf("got %+v of %+v", c.Caches, c)
	}
	shown := map[string]Shown{
		cacheConfig:  {"", "ehcache.xml", "default"},
		cacheGroup:   {"", "230.0.0.1", "ehcache.xml:8"},
		cachePort:    {"", "4446", "ehcache.xml:9"},
		cacheTimeout: {"", "200", "ehcache.xml:11"},
		cacheEntries: {"", "10", "ehcache.xml:13"},
		cacheEternal: {"", "true", "ehcache.xml:13"},
		cacheAsync:   {"", "false", "ehcache.xml:15"},
		cacheBind:    {"", "", "default"},
	}
	for _, row := range s.Show() {
		if w, ok := shown[row.Key]; ok {
			if w.Key = row.Key; row != w {
				t.Errorf("got %+v, want %+v", row, w)
			}
		}
	}
}

// Without a file there is one cache, by the keys.
func TestCacheOfKeys(t *testing.T) {
	s, err := Load(source("failover.cache.max.entries=5", "failover.cache.eternal=false", "failover.cache.time.to.idle=60", "failover.cache.time.to.live=2m", "failover.cache.replicate.asynchronously=false", "failover.ttl=7"))
	if err != nil {
		t.Fatal(err)
	}
	want := []CacheSpec{{Name: "FAILOVER_CACHE", MaxEntries: 5, TimeToIdle: time.Minute, TimeToLive: 2 * time.Minute, Synchronous: true}}
	if !reflect.DeepEqual(s.Cache.Caches, want) || s.Cache.TTL != 7 || s.Cache.Manual || s.Cache.Peers != nil {
		t.Errorf("got %+v", s.Cache)
	}
}

const (
	provider = `<cacheManagerPeerProviderFactory class="net.sf.ehcache.distribution.RMICacheManagerPeerProviderFactory" properties="%s"/>`
	listener = `<cacheManagerPeerListenerFactory class="net.sf.ehcache.distribution.RMICacheManagerPeerListenerFactory" properties="%s"/>`
	other    = "<cache name='x' %s><cacheEventListenerFactory class='net.sf.ehcache.distribution.RMICacheReplicatorFactory' properties='%s'/></cache>"
)

// Each attribute and property with a meaning: as the field it ends in shows,
// or a part of the fault. The element stands on line 2.
func TestEhcacheValues(t *testing.T) {
	for _, tt := range []struct {
		element, name string // name of the attribute or property
		path          string // of the field in Settings.Cache
		good, bad     string // as in TestValues
	}{
		{provider, "multicastGroupAddress", "Group", "230.0.0.7→230.0.0.7| 224.1.1.1 →224.1.1.1", "1.2.3.4→not a multicast|x→not an IP|→not an IP|${group}→not an IP"},
		{provider, "multicastGroupPort", "Port", "1→1|65535→65535", "0→not a port|65536→not a port|x→not a port|→not a port"},
		{provider, "timeToLive", "TTL", "0→0|255→255", "256→out of range|-1→out of range|x→not a whole number|→not a whole number"},
		{provider, "peerDiscovery", "Manual", "automatic→false|AUTOMATIC→false|manual→true|Manual→true", "x→neither automatic nor manual|→neither automatic nor manual"},
		{provider, "peerDiscovery=manual,rmiUrls", "Peers", "//a:1/c→[{a 1}]|//a:1/c!//b:2/d!//a:1/e→[{a 1} {b 2}]|rmi://[::1]:3/c→[{::1 3}]| //a:1/c ! //10.0.0.1:4→[{a 1} {10.0.0.1 4}]|→[]", "a:1/c→is not //host:port/cache|//a/c→is not //host:port|//a:0/c→is not //host|//a:b/c→is not //host|//a:1/c!x→is not //host|//:1/c→is not //host|//a b:1→is not //host"},
		{listener, "hostName", "Host", "localhost→localhost|node-a.example→node-a.example|10.0.0.1→|[::1]→|::1→", "a b→not a host|→not a host|a:1→not a host|224.0.0.1→multicast"},
		{listener, "hostName", "Bind", "localhost→invalid AddrPort|10.0.0.1→10.0.0.1:0|[::1]→[::1]:0", ""},
		{listener, "port", "Bind", "0→invalid AddrPort|40001→invalid AddrPort", "65536→out of range|-1→out of range|x→not a whole|→not a whole"},
		{listener, "hostName=10.0.0.1,port", "Bind", "0→10.0.0.1:0|40001→10.0.0.1:40001", "x→not a whole number"},
		{listener, "hostName=localhost,port", "Host", "40001→localhost", ""},
		{listener, "socketTimeoutMillis", "SocketTimeout", "10→10ms|2000→2s", "9→out of range|3600001→out of range|x→not a whole|2s→not a whole|→not a whole"},
		{other, "maxEntriesLocalHeap", "Caches", "0→[0 false 0s 0s]|10→[10 false 0s 0s]|2147483647→[2147483647 false 0s 0s]", "-1→out of range|2147483648→out of range|x→not a whole number|10k→not a whole|→not a whole"},
		{other, "maxElementsInMemory", "Caches", "7→[7 false 0s 0s]", "x→not a whole number"},
		{other, "eternal", "Caches", "true→[100000 true 0s 0s]|TRUE→[100000 true 0s 0s]|false→[100000 false 0s 0s]", "yes→neither true nor false|→neither true"},
		{other, "timeToIdleSeconds", "Caches", "60→[100000 false 1m0s 0s]|0→[100000 false 0s 0s]", "-1→out of range|9223372037→out of range|1m→not a whole|1.5→not a whole"},
		{other, "timeToLiveSeconds", "Caches", "9223372036→[100000 false 0s 2562047h47m16s]", "x→not a whole number"},
		{other, "replicateAsynchronously", "Replicas", "true→[false false false false]|false→[true false false false]", "x→neither true nor false"},
		{other, "replicatePuts", "Replicas", "false→[false true false false]", "→neither true nor false"},
		{other, "replicateUpdates", "Replicas", "false→[false false true false]", "0→neither true nor false"},
		{other, "replicateRemovals", "Replicas", " false →[false false false true]|True→[false false false false]", "no→neither true nor false"},
	} {
		text := func(value string) string {
			value = strings.ReplaceAll(value, "!", "|")
			switch {
			case tt.path == "Caches":
				return wrap(fmt.Sprintf(other, tt.name+"='"+value+"'", ""))
			case tt.element == other:
				return wrap(fmt.Sprintf(other, "", tt.name+"="+value))
			}
			return wrap(fmt.Sprintf(tt.element, tt.name+"="+value))
		}
		for _, c := range strings.Split(tt.good, "|") {
			value, want, _ := strings.Cut(c, "→")
			s, err := loadEhcache(t, text(value))
			if err != nil {
				t.Errorf("%s=%s: %v", tt.name, value, err)
				continue
			}
			var got string
			switch spec := s.Cache.Caches[0]; tt.path {
			case "Caches":
				got = fmt.Sprint([]any{spec.MaxEntries, spec.Eternal, spec.TimeToIdle, spec.TimeToLive})
			case "Replicas":
				got = fmt.Sprint([]any{spec.Synchronous, spec.LocalPuts, spec.LocalUpdates, spec.LocalRemovals})
			default:
				got = fmt.Sprint(fieldOf(s, "Cache."+tt.path).Interface())
			}
			if got != want {
				t.Errorf("%s=%s: %s is %q, want %q", tt.name, value, tt.path, got, want)
			}
		}
		if tt.bad == "" {
			continue
		}
		for _, c := range strings.Split(tt.bad, "|") {
			value, want, _ := strings.Cut(c, "→")
			_, err := loadEhcache(t, text(value))
			name := tt.name[strings.LastIndexAny(tt.name, ",=")+1:]
			if !match(lines(err), "ehcache.xml:2: "+name+": ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s=%s: got %v, want one fault with %q", tt.name, value, err, want)
			}
		}
	}
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// The port counts without a host too.
func TestListenerPort(t *testing.T) {
	s, err := loadEhcache(t, wrap(fmt.Sprintf(listener, "port=40001")))
	if err != nil || s.Cache.Bind.Port() != 40001 || s.Cache.Bind.Addr().IsValid() || s.Cache.Host != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	s, err = loadEhcache(t, wrap(fmt.Sprintf(listener, "hostName=localhost, port=40001")))
	if err != nil || s.Cache.Bind.Port() != 40001 || s.Cache.Host != "localhost" {
		t.Errorf("got %+v, %v", s, err)
	}
}

// What a file as a whole makes: parts of the faults, or of the warnings.
// Nothing else may be said.
func TestEhcacheFiles(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<cache name='c%d'><cacheEventListenerFactory/></cache>", i)
		}
		return b.String()
	}
	for _, tt := range []struct{ name, text, want, warn string }{
		{"nothing of note", wrap(""), "", ""},
		{"empty", "", "ehcache.xml:1: there is no element", ""},
		{"no cache", "<ehcache/>", "", "ehcache.xml: FAILOVER_CACHE: there is no such cache; it is added, by the keys and their defaults"},
		{"another root", "\n<beans/>", "ehcache.xml:2: the root is <beans>, not <ehcache>", ""},
		{"Ehcache 3", "<config xmlns='http://www.ehcache.org/v3'/>", "ehcache.xml:1: this looks like a file of Ehcache 3", ""},
		{"two roots", "<ehcache/>\n<ehcache/>", "ehcache.xml:2: there is a second root element", ""},
		{"not closed", "<ehcache>\n<cache>\n", "ehcache.xml:3: not well-formed: unexpected EOF", ""},
		{"wrongly closed", "<ehcache>\n<cache>\n</ehcache>", "ehcache.xml:3: not well-formed: element <cache> closed by </ehcache>", ""},
		{"attribute twice", wrap("<cache name='a' name='b'/>"), "ehcache.xml:2: <cache> has the attribute name twice", ""},
		{"no quotes", wrap("\n<cache name=a/>"), "ehcache.xml:3: not well-formed: unquoted", ""},
		{"unknown entity", "<!DOCTYPE ehcache [<!ENTITY a 'aaaa'>]>\n<ehcache name='&a;'/>", "ehcache.xml:2: not well-formed: invalid character entity &a;", ""},
		{"document type", "<!DOCTYPE ehcache SYSTEM '/dev/stdin' [<!ENTITY % x SYSTEM '/etc/passwd'> %x;]>\n" + wrap(""), "", ""},
		{"known entities", wrap("<cache name='a&amp;b&#33;'><cacheEventListenerFactory/></cache>"), "", ""},
		{"version", "<?xml version='1.1'?><ehcache/>", "ehcache.xml:1: not well-formed: unsupported version", ""},
		{"UTF-16", "\xff\xfe<\x00", "ehcache.xml:1: not an XML text in a known encoding", ""},
		{"not UTF-8", wrap("<cache name='\xe4'/>"), "ehcache.xml:2: not well-formed: invalid UTF-8", ""},
		{"unknown encoding", "<?xml version='1.0' encoding='EBCDIC'?>" + wrap(""), "ehcache.xml:1: the encoding \"ebcdic\" is not known here", ""},
		{"CR and CR LF", strings.ReplaceAll(wrap("\r\r\n<cache/>"), "\n", "\r\n"), "ehcache.xml:5: name: missing", ""},
		{"too long", "<!--" + strings.Repeat("x", maxFile) + "-->", "failover.cache.config: read ehcache.xml: longer than 1 MiB", ""},

		{"no name", wrap("<cache/>"), "ehcache.xml:2: name: missing, every cache needs one", ""},
		{"empty name", wrap("<cache\nname=''/>"), "ehcache.xml:3: name: the name is empty", ""},
		{"name with a slash", wrap("<cache name='a/b'/>"), "name: \"a/b\" has a /", ""},
		{"name that turns the writing", wrap("<cache name='a&#x202e;b'/>"), `name: "a\u202eb" has a /, a control`, ""},
		{"long name", wrap("<cache name='" + strings.Repeat("x", 256) + "'/>"), "has 256 bytes", ""},
		{"one name twice", wrap("<cache name='a'><cacheEventListenerFactory/></cache>\n<cache name=' a '/>"), "ehcache.xml:3: name: line 2 has a cache \"a\" already", ""},
		{"64 caches", wrap(many(63)), "", ""},
		{"65 caches", wrap(many(65)), "ehcache.xml:2: cache: there are more than 64 caches", ""},
		{"64 caches and FAILOVER_CACHE", "<ehcache>" + many(64) + "</ehcache>", "ehcache.xml: cache: with FAILOVER_CACHE there are more than 64", "*"},
		{"more than one fault", wrap("<cache name='a' eternal='x'\nmaxEntriesLocalHeap='y'>\n<cacheEventListenerFactory properties='\nreplicatePuts=z'/></cache>"),
			"ehcache.xml:3: maxEntriesLocalHeap|ehcache.xml:2: eternal|ehcache.xml:5: replicatePuts", ""},
		{"both names", wrap("<cache name='a' maxEntriesLocalHeap='1'\nmaxElementsInMemory='2'><cacheEventListenerFactory/></cache>"), "", "ehcache.xml:3: maxElementsInMemory: it is the older name of maxEntriesLocalHeap"},
		{"not replicated", wrap("<cache name='a'/>"), "", "ehcache.xml:2: a: it has no RMICacheReplicatorFactory: as in Ehcache it is not replicated"},
		{"FAILOVER_CACHE not replicated", "<ehcache><cache name='FAILOVER_CACHE'/></ehcache>", "", "ehcache.xml:1: FAILOVER_CACHE: it has no RMICacheReplicatorFactory, and is replicated nevertheless"},
		{"eternal and not", wrap("<cache name='a' eternal='true' timeToIdleSeconds='1'><cacheEventListenerFactory/></cache>"), "", "ehcache.xml:2: a: timeToIdleSeconds and timeToLiveSeconds have no effect while eternal is true"},
		{"default cache", wrap("<defaultCache maxElementsInMemory='1' overflowToDisk='true'/>"), "", "ehcache.xml: no meaning here: overflowToDisk, defaultCache"},
		{"fault in the default cache", wrap("<defaultCache maxElementsInMemory='x'/>"), "ehcache.xml:2: maxElementsInMemory: ", ""},

		{"manual without peers", wrap(fmt.Sprintf(provider, "peerDiscovery=manual")), "", "ehcache.xml:2: rmiUrls: peerDiscovery is manual, and no peers are named"},
		{"peers without manual", wrap(fmt.Sprintf(provider, "rmiUrls=//a:1/x")), "", "ehcache.xml:2: rmiUrls: it has no effect without peerDiscovery=manual"},
		{"two providers", wrap(fmt.Sprintf(provider+"\n"+provider, "peerDiscovery=manual,rmiUrls=//a:1/x", "")), "", "ehcache.xml:3: cacheManagerPeerProviderFactory: it is there already"},
		{"two listeners", wrap(fmt.Sprintf(listener+"\n"+listener, "hostName=10.0.0.1", "")), "", "ehcache.xml:3: cacheManagerPeerListenerFactory: it is there already"},
		{"JGroups", wrap("<cacheManagerPeerProviderFactory class='net.sf.ehcache.distribution.jgroups.JGroupsCacheManagerPeerProviderFactory' properties='connect=UDP(mcast_port=x)'/>"), "", "ehcache.xml: no meaning here: cacheManagerPeerProviderFactory JGroupsCacheManagerPeerProviderFactory"},
		{"property twice", wrap(fmt.Sprintf(provider, "\nmulticastGroupPort=1,\nmulticastGroupPort=2")), "", "ehcache.xml:3: multicastGroupPort: it is given again"},
		{"line end as separator", wrap("<cacheManagerPeerProviderFactory propertySeparator='\n' properties='timeToLive=1\nmulticastGroupPort=x'/>"), "ehcache.xml:4: multicastGroupPort: ", ""},
		{"bad escape", wrap(fmt.Sprintf(provider, `\u12`)), `ehcache.xml:2: properties: the line has a \u that is not`, ""},
		{"unknown names", wrap("<cache nam='a' name='b' maxEntrysLocalHeap='1'><cacheEventListenerFactory\nproperties='\nreplicatePut=x' foo=''/><foo/></cache><foo class='x'/>"), "",
			"ehcache.xml:2: nam: it is no attribute of cache, and has no effect; did you mean name?|ehcache.xml:2: maxEntrysLocalHeap: it is no attribute of cache, and has no effect; did you mean maxEntriesLocalHeap?|" +
				"ehcache.xml:4: foo: it is no attribute of cacheEventListenerFactory, and has no effect|ehcache.xml:4: replicatePut: it is no property of cacheEventListenerFactory, and has no effect; did you mean replicatePuts?|" +
				"ehcache.xml:4: foo: it is no element of cache|ehcache.xml:4: foo: it is no element of ehcache"},
		{"without meaning", "<ehcache updateCheck='x' monitoring='' name='m'><diskStore path='x'/>" + fmt.Sprintf(listener, "remoteObjectPort=x") +
			"<cache name='FAILOVER_CACHE' statistics='true' memoryStoreEvictionPolicy='LFU'><bootstrapCacheLoaderFactory class='a.b.RMIBootstrapCacheLoaderFactory' properties='x'/><cacheEventListenerFactory class='com.example.Mine'/>" +
			"<cacheEventListenerFactory properties='replicateUpdatesViaCopy=x,asynchronousReplicationIntervalMillis=y'/></cache></ehcache>", "",
			"ehcache.xml: no meaning here: updateCheck, monitoring, name, diskStore, remoteObjectPort, statistics, memoryStoreEvictionPolicy, bootstrapCacheLoaderFactory RMIBootstrapCacheLoaderFactory, cacheEventListenerFactory Mine, replicateUpdatesViaCopy, asynchronousReplicationIntervalMillis"},
		{"nothing moves the cursor", wrap("<cache name='a' b\u202ec='x'><cacheEventListenerFactory/></cache>"), "ehcache.xml:2: not well-formed: invalid XML name", ""},
		{"nor in a property", wrap("<cache name='a'><cacheEventListenerFactory properties='a\u202eb=x'/></cache>"), "", `ehcache.xml:2: "a\u202eb": it is no property`},
	} {
		s, err := loadEhcache(t, tt.text)
		if !match(lines(err), tt.want) {
			t.Errorf("%s:\n\tfaults %q\n\twant %q", tt.name, lines(err), tt.want)
		}
		if err == nil && !match(s.Warnings, tt.warn) {
			t.Errorf("%s:\n\twarnings %q\n\twant %q", tt.name, s.Warnings, tt.warn)
		}
	}
}

// Much that is odd in a long file is counted, not told.
func TestEhcacheStrangersAreBounded(t *testing.T) {
	s, err := loadEhcache(t, wrap(strings.Repeat("<x/>", 110)))
	if err != nil || len(s.Warnings) != maxTold+1 || s.Warnings[maxTold] != "ehcache.xml: 10 more warnings are left out" {
		t.Errorf("got %v, %v", s, err)
	}
}

// Property lists as people write them.
func TestEhcacheProperties(t *testing.T) {
	for _, tt := range []struct{ name, list, want string }{
		{"seed", "peerDiscovery=automatic,\n\t\tmulticastGroupAddress=230.0.0.2,\n\t\tmulticastGroupPort=4447", "230.0.0.2 4447"},
		{"spaces", "  multicastGroupAddress = 230.0.0.2 , multicastGroupPort : 4447  ", "230.0.0.2 4447"},
		{"only line ends", "multicastGroupAddress=230.0.0.2\nmulticastGroupPort=4447", "230.0.0.2 4447"},
		{"CR LF", "multicastGroupAddress=230.0.0.2,\r\n  multicastGroupPort=4447,\r\n", "230.0.0.2 4447"},
		{"character references", "multicastGroupAddress=230.0.0.2,&#10;multicastGroupPort&#61;4447", "230.0.0.2 4447"},
		{"empty items", ",,multicastGroupPort=4447,,", "230.0.0.1 4447"},
		{"empty", "", "230.0.0.1 4446"},
		{"separator", `multicastGroupAddress=230.0.0.2;multicastGroupPort=4447" propertySeparator=";`, "230.0.0.2 4447"},
		{"long separator", `multicastGroupAddress=230.0.0.2 :: multicastGroupPort=4447" propertySeparator="::`, "230.0.0.2 4447"},
		{"no separator", `multicastGroupAddress=230.0.0.2,multicastGroupPort=4447" propertySeparator="`, "230.0.0.2 4447"},
	} {
		s, err := loadEhcache(t, wrap(fmt.Sprintf(provider, tt.list)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := fmt.Sprint(s.Cache.Group, s.Cache.Port); got != tt.want || len(s.Warnings) > 0 {
			t.Errorf("%s: got %s, %q, want %s", tt.name, got, s.Warnings, tt.want)
		}
	}
	if s, err := loadEhcache(t, wrap("<cacheManagerPeerProviderFactory/>")); err != nil || s.Cache.Port != 4446 {
		t.Errorf("no list: %v, %v", s, err)
	}
}

func TestEhcacheEncodings(t *testing.T) {
	const body = "<ehcache><cache name='FAILOVER_CACHE'><cacheEventListenerFactory/></cache><cache name='%s'><cacheEventListenerFactory/></cache></ehcache>"
	for _, tt := range []struct{ name, text string }{
		{"nothing said", fmt.Sprintf(body, "ä")},
		{"byte order mark", "\xef\xbb\xbf" + fmt.Sprintf(body, "ä")},
		{"UTF-8", `<?xml version="1.0" encoding="utf-8" standalone="yes"?>` + fmt.Sprintf(body, "ä")},
		{"ISO-8859-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + "\n" + fmt.Sprintf(body, "\xe4")},
		{"latin1", `<?xml version='1.0' encoding='latin1'?>` + fmt.Sprintf(body, "\xe4")},
		{"a mark counts more than what is said", "\xef\xbb\xbf" + `<?xml version="1.0" encoding="ISO-8859-1"?>` + fmt.Sprintf(body, "ä")},
	} {
		s, err := loadEhcache(t, tt.text)
		if err != nil || s.Cache.Caches[1].Name != "ä" {
			t.Errorf("%s: got %+v, %v", tt.name, s, err)
		}
	}
}

// What a warning of TestEhcacheFiles says is so.
func TestEhcacheConsequences(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"not replicated", wrap("<cache name='a'/>"), "[] : [{a 100000 false 0s 0s false true true true} {FAILOVER_CACHE 100000 false 0s 0s false false false false}]"},
		{"FAILOVER_CACHE not replicated", "<ehcache><cache name='FAILOVER_CACHE'/></ehcache>", "[] : [{FAILOVER_CACHE 100000 false 0s 0s false false false false}]"},
		{"no cache", "<ehcache/>", "[] : [{FAILOVER_CACHE 100000 true 0s 0s false false false false}]"},
		{"added before", "<ehcache><cache name='a'><cacheEventListenerFactory/></cache></ehcache>", "[] : [{FAILOVER_CACHE 100000 true 0s 0s false false false false} {a 100000 false 0s 0s false false false false}]"},
		{"peers without manual", "<ehcache>" + fmt.Sprintf(provider, "rmiUrls=//a:1/x") + "</ehcache>", "[] : [{FAILOVER_CACHE 100000 true 0s 0s false false false false}]"},
		{"two providers", "<ehcache>" + fmt.Sprintf(provider+provider, "peerDiscovery=manual,rmiUrls=//a:1/x", "") + "</ehcache>", "[] : [{FAILOVER_CACHE 100000 true 0s 0s false false false false}]"},
		{"two listeners", "<ehcache>" + fmt.Sprintf(listener+listener, "hostName=a", "hostName=b,port=1") + "</ehcache>", "[] b: [{FAILOVER_CACHE 100000 true 0s 0s false false false false}]"},
		{"two replicators", "<ehcache><cache name='FAILOVER_CACHE'><cacheEventListenerFactory properties='replicateAsynchronously=false,replicatePuts=false'/><cacheEventListenerFactory/></cache></ehcache>", "[] : [{FAILOVER_CACHE 100000 false 0s 0s false false false false}]"},
	} {
		s, err := loadEhcache(t, tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := fmt.Sprintf("%v %s: %v", s.Cache.Peers, s.Cache.Host, s.Cache.Caches); got != tt.want {
			t.Errorf("%s:\n\tgot  %s\n\twant %s", tt.name, got, tt.want)
		}
	}
}

// Keys that are given count more than the file; a difference is told.
func TestKeysOverEhcache(t *testing.T) {
	text := "<ehcache>\n" +
		fmt.Sprintf(provider, "multicastGroupAddress=230.0.0.2,multicastGroupPort=4447,timeToLive=32") + "\n" +
		fmt.Sprintf(listener, "hostName=10.0.0.1,port=40001,socketTimeoutMillis=2000") + "\n" +
		"<cache name='a' maxEntriesLocalHeap='3'><cacheEventListenerFactory/></cache>\n" +
		"<cache name='FAILOVER_CACHE' maxEntriesLocalHeap='10' timeToIdleSeconds='60'><cacheEventListenerFactory properties='replicateAsynchronously=false,replicateRemovals=false'/></cache>\n</ehcache>"
	for _, tt := range []struct{ sets, warn, want string }{
		{"", "", "230.0.0.2:4447 32 10.0.0.1:40001 2s [{a 3 false 0s 0s false false false false} {FAILOVER_CACHE 10 false 1m0s 0s true false false true}]"},
		{"failover.cache.group=230.0.0.3 failover.cache.port=4448 failover.ttl=1",
			"--set: failover.ttl: ehcache.xml:2: timeToLive says 32; this counts",
			"230.0.0.3:4448 1 10.0.0.1:40001 2s [{a 3 false 0s 0s false false false false} {FAILOVER_CACHE 10 false 1m0s 0s true false false true}]"},
		{"failover.cache.bind=10.0.0.2 failover.cache.max.entries=20 failover.cache.eternal=true failover.cache.replicate.asynchronously=true failover.cache.socket.timeout=2s failover.cache.time.to.idle=1m", "*",
			"230.0.0.2:4447 32 10.0.0.2:0 2s [{a 3 false 0s 0s false false false false} {FAILOVER_CACHE 20 true 1m0s 0s false false false true}]"},
	} {
		s, err := loadEhcache(t, text, strings.Fields(tt.sets)...)
		if err != nil {
			t.Errorf("%s: %v", tt.sets, err)
			continue
		}
		c := s.Cache
		if got := fmt.Sprintf("%v:%d %d %v %v %v", c.Group, c.Port, c.TTL, c.Bind, c.SocketTimeout, c.Caches); got != tt.want {
			t.Errorf("%s:\n\tgot  %s\n\twant %s", tt.sets, got, tt.want)
		}
	}
	for sets, warn := range map[string]string{
		"": "",
		"failover.cache.group=230.0.0.2 failover.cache.port=4447 failover.ttl=32 failover.cache.bind=10.0.0.1:40001 failover.cache.max.entries=10 failover.cache.time.to.idle=1m failover.cache.replicate.asynchronously=FALSE": "",
		"failover.cache.group=230.0.0.3 failover.cache.port=4448":          "failover.cache.group: ehcache.xml:2: multicastGroupAddress says \"230.0.0.2\"; this counts|failover.cache.port: ehcache.xml:2: multicastGroupPort says \"4447\"; this counts",
		"failover.cache.bind=10.0.0.1":                                     "failover.cache.bind: ehcache.xml:3: hostName says \"10.0.0.1:40001\"; this counts",
		"failover.cache.bind=10.0.0.2:40001":                               "failover.cache.bind: ehcache.xml:3: hostName says",
		"failover.cache.max.entries=11":                                    "failover.cache.max.entries: ehcache.xml:5: maxEntriesLocalHeap says \"10\"; this counts",
		"failover.cache.eternal=true":                                      "timeToIdleSeconds: it has no effect while failover.cache.eternal is true",
		"failover.cache.socket.timeout=3s failover.cache.when.alone=block": "failover.cache.socket.timeout: ehcache.xml:3: socketTimeoutMillis says \"2000\"; this counts",
		"failover.ttl=31":                                                  "--set: failover.ttl: ehcache.xml:2: timeToLive says 32; this counts",
	} {
		s, err := loadEhcache(t, text, strings.Fields(sets)...)
		if err != nil || !match(s.Warnings, warn) {
			t.Errorf("%s:\n\tgot %q, %v\n\twant %q", sets, s.Warnings, err, warn)
		}
	}
	if _, err := loadEhcache(t, text, "failover.cache.port=x"); !match(lines(err), `--set: failover.cache.port: "x" is not a port`) {
		t.Errorf("got %v", err)
	}
}

// As in Ehcache a cache of the file expires unless it says that it is eternal.
func TestEhcacheEternal(t *testing.T) {
	for _, tt := range []struct {
		attrs string
		want  bool
	}{{"timeToLiveSeconds='5'", false}, {"", false}, {"eternal='true'", true}, {"eternal='false'", false}} {
		s, err := loadEhcache(t, "<ehcache><cache name='FAILOVER_CACHE' "+tt.attrs+"><cacheEventListenerFactory/></cache></ehcache>")
		if err != nil || s.Cache.Eternal != tt.want || s.Cache.Caches[0].Eternal != tt.want || len(s.Warnings) > 0 {
			t.Errorf("%s: got %+v, %v", tt.attrs, s, err)
		}
	}
}

// The file that is named counts, not the one beside the bootstrap file; a name
// in the bootstrap file is relative to its folder.
func TestWhichEhcache(t *testing.T) {
	in(t, map[string]string{
		"etc/bootstrap.properties": "failover.cache.config=mine.xml",
		"etc/plain.properties":     "",
		"etc/ehcache.xml":          wrap(fmt.Sprintf(provider, "multicastGroupPort=1")),
		"etc/mine.xml":             wrap(fmt.Sprintf(provider, "multicastGroupPort=2")),
		"ehcache.xml":              wrap(fmt.Sprintf(provider, "multicastGroupPort=3")),
	})
	for _, tt := range []struct {
		file, set, config string
		port              uint16
	}{
		{"etc/bootstrap.properties", "", "etc/mine.xml", 2},
		{"etc/plain.properties", "", "etc/ehcache.xml", 1},
		{"etc/bootstrap.properties", "failover.cache.config=ehcache.xml", "ehcache.xml", 3},
		{"", "", "", 4446},
		{"", "failover.cache.config=etc/mine.xml", "etc/mine.xml", 2},
	} {
		src := source()
		if src.File = tt.file; tt.set != "" {
			src.Sets = []string{tt.set}
		}
		s, err := Load(src)
		if err != nil || s.Cache.ConfigFile != tt.config || s.Cache.Port != tt.port {
			t.Errorf("%+v: got %+v, %v", tt, s, err)
		}
	}
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"failover.cache.config=none.xml", "failover.cache.config=dir"} {
		_, err := Load(source(set))
		if !match(lines(err), "--set: failover.cache.config: there is no file ") {
			t.Errorf("%s: got %v", set, err)
		}
	}
}

// Whatever a file holds: it is settings or faults, each in one tame line.
func FuzzEhcache(f *testing.F) {
	seed, err := os.ReadFile("testdata/seed-ehcache.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(wrap(fmt.Sprintf(provider, "peerDiscovery=manual;rmiUrls=//a:1/x|//[::1]:2/y\" propertySeparator=\";"))))
	f.Add([]byte(wrap(fmt.Sprintf(listener, "hostName=localhost,\\u0070ort=1,"))))
	f.Add([]byte("<?xml version='1.0' encoding='ISO-8859-1'?><!DOCTYPE ehcache [<!ENTITY a '&a;&a;'>]><ehcache>\xe4<cache name='&#x202e;'/></ehcache>"))
	f.Add([]byte("\xef\xbb\xbf<ehcache x:y='' xmlns:x='z'><defaultCache eternal='&lt;'/></ehcache>\r<!-- -->"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLoader(source())
		l.takeEhcache("x.xml", b)
		l.apply()
		l.fillIn()
		l.relate()
		for _, fault := range l.faults {
			if text := fault.Error(); tame(text) != text || fault.Wrong == "" || fault.Instead == "" {
				t.Fatalf("the fault says %q", text)
			}
		}
		if len(l.faults) > 0 {
			return
		}
		s := l.s
		names := map[string]bool{}
		for _, spec := range s.Cache.Caches {
			if names[spec.Name] || checkCacheName(spec.Name) != nil || spec.MaxEntries < 0 || spec.TimeToIdle < 0 || spec.TimeToLive < 0 {
				t.Fatalf("caches are %+v", s.Cache.Caches)
			}
			names[spec.Name] = true
		}
		if len(names) > maxCaches || !names[failoverCache] || s.Cache.TTL < 0 || s.Cache.TTL > 255 || !s.Cache.Group.IsMulticast() || s.Cache.Port == 0 {
			t.Fatalf("cache is %+v", s.Cache)
		}
		if len(s.Warnings) > 2*maxTold {
			t.Fatalf("%d warnings", len(s.Warnings))
		}
		for _, w := range s.Warnings {
			if tame(w) != w || len(w) > 64<<10 {
				t.Fatalf("the warning says %q", w)
			}
		}
	})
}

// A long file is read in a moment, whatever it repeats.
func TestLongEhcache(t *testing.T) {
	fill := func(one string) string { return strings.Repeat(one, maxFile/4/len(one)) }
	var peers, attrs strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&peers, "//a%d:%d/x|", i, i+1)
		fmt.Fprintf(&attrs, " a%d=''", i)
	}
	for _, tt := range []struct {
		name, text     string
		faults, warned int
	}{
		{"elements", wrap(fill("<x/>")), 0, maxTold + 1},
		{"depth", wrap(strings.Repeat("<x>", 30_000) + strings.Repeat("</x>", 30_000)), 0, 1},
		{"providers", wrap(fill("<cacheManagerPeerProviderFactory/>")), 0, maxTold + 1},
		{"properties", wrap(fmt.Sprintf(provider, fill("multicastGroupPort=1,\n"))), 0, maxTold + 1},
		{"peers", wrap(fmt.Sprintf(provider, "peerDiscovery=manual,rmiUrls="+peers.String())), 0, 0},
		{"attributes", wrap("<x" + attrs.String() + "/>"), 0, 1},
		{"caches", wrap(fill("<cache name='a'/>")), 15_000, 0},
	} {
		s, err := loadEhcache(t, tt.text)
		if faults := len(lines(err)); err != nil && faults < tt.faults || err == nil && tt.faults > 0 {
			t.Errorf("%s: %d faults, want %d", tt.name, faults, tt.faults)
		}
		if err == nil && len(s.Warnings) != tt.warned {
			t.Errorf("%s: %d warnings, want %d", tt.name, len(s.Warnings), tt.warned)
		}
		if tt.name == "peers" && (err != nil || len(s.Cache.Peers) != 10_000) {
			t.Errorf("peers: %v", err)
		}
	}
}
