package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// Source is everything that settings come from.
type Source struct {
	File        string   // path of bootstrap.properties; empty: none
	Environ     []string // as os.Environ gives it; of two equal names the last counts
	Sets        []string // KEY=VALUE of each --set, in order
	Hostname    string   // default of failover.name
	HostAddress string   // default of failover.tcp.host; empty: left to its user
	Root        bool     // the user is root: state is kept under /var/lib

	// Home finds a folder for the state where the environment names no home:
	// see [Home]. If it is nil that is a fault.
	Home func() (dir string, lasts bool)
}

// Load reads the settings: defaults, the later over the earlier by ehcache.xml
// (for the caches only), adp-profiler.properties (for the plugin factory only),
// the bootstrap file, the environment, and --set.
//
// The 3.3 design is chosen by failover.multicast.group or .port,
// failover.socket.mode, or any failover.tcp.*; otherwise it is 3.0.6.
//
// The error is [Faults] if the input is at fault; then every fault is in it. If
// the bootstrap file cannot be read it wraps the error of the file system.
func Load(src Source) (*Settings, error) {
	l := newLoader(src)
	if err := l.readFiles(); err != nil {
		return nil, err
	}
	l.readEnviron()
	l.readSets()
	if !l.noText {
		l.readEhcache()
		l.apply()
		l.fillIn()
		l.relate()
	}
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	l.s.shown = l.show()
	s := l.s // leaves the raw values behind
	return &s, nil
}

// loader is one run of Load.
type loader struct {
	src     Source
	s       Settings
	given   map[string]given // by Key.Name: the value that counts
	bad     map[string]bool  // by Key.Name: that value is at fault
	faults  Faults
	noText  bool     // a file was no text: who knows what the keys hold together
	guesses int      // how many unknown keys got a suggestion
	xml     *ehcache // nil: there is none, or it is at fault

	computed map[string]string // by Key.Name: defaults that depend on something
}

func newLoader(src Source) *loader {
	return &loader{src: src, given: make(map[string]given), bad: make(map[string]bool), computed: make(map[string]string)}
}

// given is a value with where it stands.
type given struct {
	place   string // as in Fault.Place
	written string // the key, alias or variable as written there
	origin  string // as in Shown.Origin
	value   string
	inFile  bool // relative paths are relative to the bootstrap file

	set func(*Settings) // instead of the key's own way, for what only ehcache.xml can say; may be nil
}

func (l *loader) fault(place, key string, c *complaint) {
	l.faults = append(l.faults, Fault{Place: tame(place), Key: quoteKey(key), Wrong: c.wrong, Instead: c.instead})
}

// warn says something about a key where it stands.
func (l *loader) warn(key, format string, args ...any) {
	place, written := l.where(key)
	l.warnAt(place, written, format, args...)
}

func (l *loader) warnAt(place, written, format string, args ...any) {
	if written != "" {
		place += ": " + written
	}
	l.s.Warnings = append(l.s.Warnings, tame(place+": "+fmt.Sprintf(format, args...)))
}

func (l *loader) where(key string) (place, written string) {
	if g, ok := l.given[key]; ok {
		return g.place, g.written
	}
	return "default", key
}

const profilerFile = "adp-profiler.properties"

func (l *loader) readFiles() error {
	if l.src.File == "" {
		return nil
	}
	beside := filepath.Join(filepath.Dir(l.src.File), profilerFile)
	err := l.readProperties(beside, func(key string) bool { return key == pluginFactory })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.readProperties(l.src.File, func(string) bool { return true })
}

// readProperties takes the keys of one file that mine accepts.
func (l *loader) readProperties(name string, mine func(key string) bool) error {
	b, _, err := readFile(name)
	var props []property
	if err == nil {
		props, err = parseProperties(b)
	}
	switch {
	case errors.Is(err, errNotText):
		l.noText = true
		l.fault(name, "", complain("save it as text in UTF-8", "%v", errNotText))
	case errors.Is(err, errTooLong):
		l.noText = true
		l.fault(name, "", complain("name a properties text", "%v", errTooLong))
	case err != nil:
		return fmt.Errorf("read settings: %w", err)
	}
	last := make(map[string]int) // by Key.Name: index of the line that counts
	for i, p := range props {
		if k := keyOf(p.key); k != nil && mine(p.key) {
			last[k.Name] = i
		}
	}
	for i, p := range props {
		place := name + ":" + strconv.Itoa(p.line)
		g := given{place: place, written: p.key, origin: place, value: p.value, inFile: true}
		switch k := keyOf(p.key); {
		case p.bad != nil:
			l.fault(place, "", p.bad)
		case !mine(p.key):
		case k == nil:
			l.unknown(place, p.key)
		case last[k.Name] != i:
			l.judge(k, &g)
			l.s.Warnings = append(l.s.Warnings, fmt.Sprintf("%s: %s: line %d gives it again, and counts", place, p.key, props[last[k.Name]].line))
		default:
			l.take(k, g)
		}
	}
	return nil
}

// unknown complains about a key of our family that is not in the table.
// Other families are the host application's.
func (l *loader) unknown(place, key string) {
	switch {
	case strings.HasPrefix(key, "failover.jgroups."):
		l.fault(place, key, complain("write failover.socket.mode=multicast or tcp", "jgroups is not supported"))
	case strings.HasPrefix(key, "failover."):
		l.fault(place, key, l.noSuchKey(key, func(known string) string { return known }))
	}
}

// Guesses cost time and are read by people: bounds of their number and of the
// length of the keys they are made for.
const maxGuesses, maxGuessed = 100, 100

// noSuchKey suggests the key that is most like an unknown one, as written turns
// it into what to write.
func (l *loader) noSuchKey(key string, written func(known string) string) *complaint {
	const wrong = "no such key"
	if l.guesses == maxGuesses || len(key) > maxGuessed {
		return complain("remove it, or choose one that `interlok-ha config show` lists", wrong)
	}
	l.guesses++
	return complain("write "+written(nearest(key))+" if that is what you mean", wrong)
}

func (l *loader) readEnviron() {
	environ := make(map[string]string)
	var order []string
	for _, e := range l.src.Environ {
		name, value, ok := strings.Cut(e, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if _, again := environ[name]; !again {
			order = append(order, name)
		}
		environ[name] = value
	}
	known := make(map[string]bool)
	for i := range keys {
		k := &keys[i]
		for _, name := range append(append([]string(nil), k.Aliases...), k.Name) {
			name = envName(name)
			known[name] = true
			// Templates leave variables empty that they have no value for.
			if v := environ[name]; strings.TrimSpace(v) != "" {
				l.take(k, given{place: "environment", written: name, origin: "environment " + name, value: v})
			}
		}
	}
	for _, name := range order {
		if strings.HasPrefix(name, envPrefix+"FAILOVER_") && !known[name] {
			key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "."))
			l.fault("environment", name, l.noSuchKey(key, envName))
		}
	}
}

const setPlace = "--set"

func (l *loader) readSets() {
	for _, set := range l.src.Sets {
		name, value, ok := strings.Cut(set, "=")
		name = strings.TrimSpace(name)
		k := keyOf(name)
		switch {
		case ok && name == "":
			l.fault(setPlace, "", complain("write --set KEY=VALUE", "there is no key before the ="))
		case !ok:
			l.fault(setPlace, name, complain("write --set KEY=VALUE", "there is no ="))
		case k != nil:
			l.take(k, given{place: setPlace, written: name, origin: setPlace, value: value})
		case keyOf("failover."+name) != nil:
			l.fault(setPlace, name, complain("write failover."+name, "no such key"))
		default:
			l.unknown(setPlace, name)
		}
	}
}

// take checks a value and lets it count instead of an earlier one.
func (l *loader) take(k *Key, g given) {
	l.bad[k.Name] = !l.judge(k, &g)
	l.given[k.Name] = g
}

// judge trims a value, makes a relative path whole, and tells its fault.
func (l *loader) judge(k *Key, g *given) (sound bool) {
	g.value = strings.TrimSpace(g.value)
	if k.kind.paths && g.inFile && g.value != "" && !filepath.IsAbs(g.value) {
		g.value = filepath.Join(filepath.Dir(l.src.File), g.value)
	}
	if g.value == "" && k.Default == "" && !k.full || k.kind.reads {
		return true // takes an earlier value back; or is tried in apply
	}
	if c := k.kind.set(new(Settings), g.value); c != nil {
		l.fault(g.place, g.written, c)
		return false
	}
	return true
}

// apply puts defaults and values into the settings.
func (l *loader) apply() {
	for i := range keys {
		k := &keys[i]
		if k.Default != "" {
			if c := k.kind.set(&l.s, k.Default); c != nil {
				l.fault("default", k.Name, c) // a test holds that there is none
			}
		}
		g, ok := l.given[k.Name]
		if !ok || l.bad[k.Name] || g.value == "" {
			continue
		}
		if g.set != nil {
			g.set(&l.s)
			continue
		}
		if c := k.kind.set(&l.s, g.value); c != nil { // kinds that read files
			l.bad[k.Name] = true
			l.fault(g.place, g.written, c)
		}
	}
}

// has reports whether a key is given, however wrong its value.
func (l *loader) has(key string) bool { return l.given[key].value != "" }

// sound reports whether none of these keys has a faulty value, so that their
// relations can be judged.
func (l *loader) sound(names ...string) bool {
	for _, n := range names {
		if l.bad[n] {
			return false
		}
	}
	return true
}

// fillIn computes the defaults that depend on something.
func (l *loader) fillIn() {
	s := &l.s
	s.Design = Design306
	if l.chooses33() != "" {
		s.Design = Design33
	}
	if !l.has("failover.name") && l.sound("failover.name") {
		if c := checkLabel(l.src.Hostname); c != nil {
			c.wrong = "the host name cannot be the name: " + c.wrong
			c.instead = "choose a name with --name or failover.name"
			l.fault("default", "failover.name", c)
			l.bad["failover.name"] = true
		}
		s.Name = l.src.Hostname
		l.computed["failover.name"] = s.Name
	}
	if !l.has("failover.state.dir") && l.sound("failover.name", "failover.cluster") {
		base := l.stateHome()
		s.StateDir = filepath.Join(base, "interlok-ha", s.Cluster, s.Name)
		l.computed["failover.state.dir"] = s.StateDir
	}
	if !l.has("failover.tcp.host") && s.Design == Design33 {
		s.Ping.TCPHost = l.src.HostAddress
		l.computed["failover.tcp.host"] = s.Ping.TCPHost
	}
	if !l.has("failover.cache.promote.wait") {
		s.Cache.PromoteWait = s.Down()
		l.computed["failover.cache.promote.wait"] = strconv.FormatInt(s.Down().Milliseconds(), 10)
	}
	for i := range s.Network.Peers {
		if p := &s.Network.Peers[i]; p.Port == 0 {
			p.Port = s.Network.Port
		}
	}
	l.fillCaches()
}

// chooses33 is the first given key that chooses the 3.3 design, or "".
func (l *loader) chooses33() string {
	for _, k := range keys {
		chooses := strings.HasPrefix(k.Name, "failover.multicast.") || strings.HasPrefix(k.Name, "failover.tcp.") || k.Name == "failover.socket.mode"
		if chooses && l.has(k.Name) {
			return k.Name
		}
	}
	return ""
}

func (l *loader) show() []Shown {
	list := make([]Shown, 0, len(keys))
	for _, k := range keys {
		row := Shown{Key: k.Name, Value: k.Default, Origin: "default"}
		if v, ok := l.computed[k.Name]; ok {
			row.Value = v
		}
		if g, ok := l.given[k.Name]; ok {
			row.Origin = g.origin
			if g.value != "" {
				row.Value = g.value
			}
		}
		if k.Secret && row.Value != "" {
			row.Value = masked
		}
		list = append(list, row)
	}
	return list
}
