package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/interlok-ha/interlok-ha"

// floors are the rooms of the house from the top. A room may import those of
// floors below its own, and none beside it.
var floors = [][]string{
	{"cmd/interlok-ha"},
	{"demo"},
	{"examples/orders/shop"},
	{"node"},
	{"config"},
	{"admin", "workload", "weave"},
	{"failover", "mirror"},
	{"election/position"},
	{"election", "broadcast", "listen", "profiler/metrics", "profiler/log", "weave/hook"},
	{"profiler/httphook", "profiler/watermill", "profiler/franz", "profiler/grpc", "profiler/cloudevents", "profiler/otel"},
	{"heartbeat", "cache", "profiler"},
	{"internal/mcast", "internal/tcp"},
	{"internal/boottime"},
}

// outside are rooms that only tests and measurements use: nobody of the house
// imports them.
var outside = []string{"election/electiontest", "election/position/positiontest", "cache/cachetest", "profiler/profilertest", "internal/house", "test", "bench"}

// only says who alone may import a library.
var only = map[string][]string{
	"golang.org/x/net/ipv4":            {"internal/mcast", "internal/tcp"},
	"golang.org/x/net/ipv6":            {"internal/mcast", "internal/tcp"},
	"github.com/hashicorp/memberlist":  {"cache"},
	"github.com/hashicorp/golang-lru":  {"cache"},
	"github.com/spf13/cobra":           {"cmd/interlok-ha"},
	"github.com/magiconair/properties": {"config"},
	"github.com/rs/zerolog/log":        {}, // nobody: the logger is a value in Config
}

// tight are rooms that know even less of the house than their floor allows.
var tight = map[string][]string{
	"cache":  {"internal"},
	"mirror": {"cache", "profiler", "internal"},
	"weave":  {},

	"weave/hook": {"profiler"},
}

// bare are rooms that use nothing but the standard library.
var bare = []string{"profiler"}

// core are the rooms without surroundings.
var core = []string{"election", "election/position", "heartbeat"}

// barred from the core, with all that lies below these paths.
var barred = []string{"net", "os", "sync", "context", "math/rand", "github.com/rs/zerolog"}

// calls that only some rooms may make.
var calls = []struct {
	pkg     string
	names   []string
	allowed func(room, file string) bool
	why     string
}{
	{"os", []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, mayLook, "only cmd reads the environment"},
	{"os", []string{"Exit"}, mayExit, "only cmd exits"},
	{"log", []string{"Fatal", "Fatalf", "Fatalln"}, isCmd, "only cmd exits"},
	{"time", []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
		func(room, _ string) bool { return !slices.Contains(core, room) }, "time is an argument of the core"},
}

func isCmd(room, _ string) bool { return strings.HasPrefix(room, "cmd/") }

// mayLook also lets the room look that is copied into other programs.
func mayLook(room, file string) bool { return isCmd(room, file) || room == "weave/hook" }

// mayExit also lets the node end a process whose work, a function, would not
// return when its mastership is over: nothing else ends a goroutine.
func mayExit(room, file string) bool { return isCmd(room, file) || file == "node/abort.go" }

// file is one source file, of any system.
type file struct {
	name, room string
	ast        *ast.File
}

// files parses what is no test, whatever its build tags say.
func files(t *testing.T, root string) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "tools" || base == "examples") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		all = append(all, file{name: filepath.ToSlash(rel), room: path.Dir(filepath.ToSlash(rel)), ast: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func floorOf(room string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

func isOutside(room string) bool {
	return slices.ContainsFunc(outside, func(o string) bool { return under(room, o) })
}

// under reports whether a path is that one or lies below it.
func under(p, top string) bool { return p == top || strings.HasPrefix(p, top+"/") }

// faults are the rules that one file breaks.
func faults(f file) (list []string) {
	add := func(format string, args ...any) { list = append(list, f.name+": "+fmt.Sprintf(format, args...)) }
	floor, guest := floorOf(f.room), isOutside(f.room)
	if floor < 0 && !guest {
		add("the room %s has no floor: add it to this test", f.room)
	}
	local := map[string]string{} // what an imported package is called here
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			add("%v", err)
			continue
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = p
		if guest {
			continue
		}
		for lib, rooms := range only {
			if under(p, lib) && !slices.Contains(rooms, f.room) {
				add("imports %s; that is for %v", p, rooms)
			}
		}
		for _, b := range barred {
			if slices.Contains(core, f.room) && under(p, b) && p != "net/netip" {
				add("imports %s: the core has no surroundings", p)
			}
		}
		if first, _, _ := strings.Cut(p, "/"); slices.Contains(bare, f.room) && strings.Contains(first, ".") {
			add("imports %s: it uses the standard library only", p)
		}
		if room, ok := strings.CutPrefix(p, module+"/"); ok {
			if isOutside(room) {
				add("imports %s, which is for tests", room)
			} else if below := floorOf(room); below <= floor {
				add("imports %s, which lies not below it", room)
			} else if few, ok := tight[f.room]; ok && !slices.ContainsFunc(few, func(r string) bool { return under(room, r) }) {
				add("imports %s, and knows only %v", room, few)
			}
		}
	}
	if guest {
		return list
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok || x.Obj != nil { // a variable of that name
			return true
		}
		for _, c := range calls {
			if local[x.Name] == c.pkg && slices.Contains(c.names, sel.Sel.Name) && !c.allowed(f.room, f.name) {
				add("uses %s.%s: %s", c.pkg, sel.Sel.Name, c.why)
			}
		}
		return true
	})
	return list
}

func TestHouse(t *testing.T) {
	all := files(t, filepath.Join("..", ".."))
	if len(all) < 50 {
		t.Fatalf("found only %d files", len(all))
	}
	for _, f := range all {
		for _, fault := range faults(f) {
			t.Error(fault)
		}
	}
}

// TestFaults shows each rule at work.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		room, source, want string
	}{
		{"listen", `import "` + module + `/heartbeat"`, ""},
		{"listen", `import "` + module + `/broadcast"`, "lies not below"},
		{"heartbeat", `import "` + module + `/election"`, "lies not below"},
		{"admin", `import "` + module + `/election/electiontest"`, "for tests"},
		{"attic", ``, "has no floor"},
		{"election", `import "net/netip"`, ""},
		{"election", `import "net"`, "no surroundings"},
		{"election", `import "sync/atomic"`, "no surroundings"},
		{"heartbeat", `import "math/rand/v2"`, "no surroundings"},
		{"election", `import "time"; var x = time.Second`, ""},
		{"election", `import "time"; var x = time.Now()`, "time is an argument"},
		{"election", `import clock "time"; var x = clock.Since`, "time is an argument"},
		{"node", `import "time"; var x = time.Now()`, ""},
		{"node", `import "os"; func f() { os.Exit(1) }`, "only cmd exits"},
		{"config", `import "os"; var x = os.Getenv("A")`, "reads the environment"},
		{"cmd/interlok-ha", `import "os"; var x = os.Environ()`, ""},
		{"broadcast", `import "golang.org/x/net/ipv4"`, "internal/mcast"},
		{"internal/mcast", `import "golang.org/x/net/ipv6"`, ""},
		{"cache", `import "github.com/hashicorp/memberlist"; import "` + module + `/internal/mcast"`, ""},
		{"cache", `import "` + module + `/heartbeat"`, "lies not below"},
		{"cache", `import "` + module + `/election"`, "lies not below"},
		{"cache/cachetest", `import "github.com/hashicorp/memberlist"; import "` + module + `/cache"`, ""},
		{"node", `import "` + module + `/cache/cachetest"`, "for tests"},
		{"node", `import "` + module + `/cache"; import "` + module + `/mirror"`, ""},
		{"node", `import "github.com/hashicorp/memberlist"`, "that is for"},
		{"mirror", `import "github.com/hashicorp/golang-lru/v2/simplelru"`, "that is for"},
		{"mirror", `import "` + module + `/cache"`, ""},
		{"profiler", `import "sync/atomic"; import "context"`, ""},
		{"profiler", `import "github.com/rs/zerolog"`, "standard library only"},
		{"profiler", `import "` + module + `/internal/boottime"`, "standard library only"},
		{"weave/hook", `import "` + module + `/profiler"; import "os"; var x = os.Getenv("A")`, ""},
		{"weave", `import "` + module + `/profiler"`, "knows only"},
		{"mirror", `import "` + module + `/heartbeat"`, "knows only"},
		{"mirror", `import "` + module + `/failover"`, "lies not below"},
		{"admin", `import "` + module + `/mirror"`, ""},
		{"node", `import "github.com/rs/zerolog/log"`, "that is for"},
		{"node", `import "github.com/spf13/cobra"`, "that is for"},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+tt.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(faults(file{"x.go", tt.room, f}), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s with %q: %q, want %q", tt.room, tt.source, got, tt.want)
		}
	}
}
