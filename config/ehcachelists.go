package config

import (
	"math"
	"slices"
	"strings"
)

// What Ehcache knows and has no meaning here. There is no disk, no other tier
// of memory, no loader, no transaction; copies are always whole; a joiner is
// always filled.
var (
	idleRoot = []string{"name", "updateCheck", "monitoring", "dynamicConfig", "defaultTransactionTimeoutInSeconds",
		"maxBytesLocalHeap", "maxBytesLocalOffHeap", "maxBytesLocalDisk"}
	idleElements = []string{"diskStore", "sizeOfPolicy", "transactionManagerLookup", "cacheManagerEventListenerFactory",
		"cacheManagerPeerProviderFactory", "cacheManagerPeerListenerFactory", "terracottaConfig", "managementRESTService"}
	idleCache = []string{"cacheLoaderTimeoutMillis", "clearOnFlush", "copyOnRead", "copyOnWrite", "diskAccessStripes",
		"diskExpiryThreadIntervalSeconds", "diskPersistent", "diskSpoolBufferSizeMB", "logging", "maxBytesLocalDisk",
		"maxBytesLocalHeap", "maxBytesLocalOffHeap", "maxElementsOnDisk", "maxEntriesInCache", "maxEntriesLocalDisk",
		"maxMemoryOffHeap", "memoryStoreEvictionPolicy", "overflowToDisk", "overflowToOffHeap", "statistics", "transactionalMode"}
	idleInCache = []string{"bootstrapCacheLoaderFactory", "cacheDecoratorFactory", "cacheEventListenerFactory", "cacheExceptionHandlerFactory",
		"cacheExtensionFactory", "cacheLoaderFactory", "cacheWriter", "copyStrategy", "elementValueComparator", "persistence", "pinning",
		"searchable", "sizeOfPolicy", "terracotta"}
	idleFactory    = []string{"listenFor"}
	idleProvider   = []string{"hostName"}
	idleListener   = []string{"remoteObjectPort"}
	idleReplicator = []string{"replicatePutsViaCopy", "replicateUpdatesViaCopy", "asynchronousReplicationIntervalMillis",
		"asynchronousReplicationMaximumBatchSize"}
)

// properties reads the property list of a factory: those that are known, and
// the names of the others.
//
// The syntax is that of Ehcache: the separator, a comma if no other is chosen,
// stands for the end of a line in a Java properties text. So line ends separate
// too, and space around the items falls away.
func (x *ehcache) properties(e *element, idle []string, known ...string) map[string]*attribute {
	list := e.attr("properties")
	if list == nil {
		return nil
	}
	separator := ","
	if a := e.attr("propertySeparator"); a != nil && a.value != "" {
		separator = a.value
	}
	text, lines := splitProperties(list.value, separator, list.line)
	props, err := parseProperties([]byte(text))
	if err != nil {
		x.fault(list, complain("write name=value with commas between them", "%v", err))
	}
	found := make(map[string]*attribute)
	for _, p := range props {
		a := &attribute{name: p.key, value: strings.TrimSpace(p.value), line: lines[p.line-1]}
		switch {
		case p.bad != nil:
			x.l.fault(x.place(a.line), list.name, p.bad)
		case slices.Contains(known, p.key):
			if found[p.key] != nil {
				x.warn(found[p.key].line, p.key, "it is given again, and the last counts")
			}
			found[p.key] = a
		case slices.Contains(idle, p.key):
			x.without(p.key)
		default:
			x.stranger(a.line, p.key, "property", e.name, known)
		}
	}
	return found
}

// splitProperties replaces separators by line ends; lines has for each line of
// the text the line of the file it stands on.
func splitProperties(value, separator string, line int) (text string, lines []int) {
	var b strings.Builder
	for i, item := range strings.Split(value, separator) {
		if i > 0 {
			line += strings.Count(separator, "\n")
		}
		for j, natural := range strings.Split(item, "\n") {
			if j > 0 {
				line++
			}
			b.WriteString(natural)
			b.WriteByte('\n')
			lines = append(lines, line)
		}
	}
	return b.String(), lines
}

// rest tells of the attributes that are not known.
func (x *ehcache) rest(e *element, idle []string, known ...string) {
	if slices.Contains([]string{"cacheManagerPeerProviderFactory", "cacheManagerPeerListenerFactory", "cacheEventListenerFactory"}, e.name) {
		known = []string{"class", "properties", "propertySeparator"}
	}
	for _, a := range e.attrs {
		switch {
		case slices.Contains(known, a.name):
		case slices.Contains(idle, a.name):
			x.without(a.name)
		default:
			x.stranger(a.line, a.name, "attribute", e.name, known)
		}
	}
}

// element tells of an element that is not read.
func (x *ehcache) element(e *element, parent string, idle []string) {
	switch class := e.attr("class"); {
	case !slices.Contains(idle, e.name):
		x.stranger(e.line, e.name, "element", parent, nil)
	case class != nil && strings.HasSuffix(e.name, "Factory"): // which of several
		x.without(e.name + " " + lastPart(class.value))
	default:
		x.without(e.name)
	}
}

func lastPart(class string) string {
	class = strings.TrimSpace(class)
	return class[strings.LastIndexByte(class, '.')+1:]
}

func (x *ehcache) without(name string) {
	if len(x.idle) < maxTold && !slices.Contains(x.idle, name) {
		x.idle = append(x.idle, name)
	}
}

// maxTold bounds what is said of one file.
const maxTold = 100

// stranger warns of a name that Ehcache does not know either.
func (x *ehcache) stranger(line int, name, what, parent string, known []string) {
	hint, least := "", math.MaxInt
	for _, k := range known {
		if x.told >= maxTold || len(name) > maxGuessed {
			break
		}
		if far := distance(strings.ToLower(name), strings.ToLower(k)); far <= len(k)/4 && far < least {
			hint, least = "; did you mean "+k+"?", far
		}
	}
	x.warn(line, quoteKey(name), "it is no %s of %s, and has no effect%s", what, parent, hint)
}

// summary ends the reading with one line about all that has no meaning here.
func (x *ehcache) summary() {
	if more := x.told - maxTold; more > 0 {
		x.l.warnAt(x.file, "", "%d more warnings are left out", more)
	}
	if len(x.idle) > 0 {
		x.l.warnAt(x.file, "", "no meaning here: %s", strings.Join(x.idle, ", "))
	}
}
