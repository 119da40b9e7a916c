package weave

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// found weaves a program of one module, m, and returns what it found, without
// the folder.
func foundIn(t *testing.T, archive string, fence bool, args ...string) (points, warnings []string) {
	t.Helper()
	dir := program(t, archive)
	r := weaveFor(t, dir, fence, args...)
	short := func(s string) string { return strings.TrimPrefix(filepath.ToSlash(s), filepath.ToSlash(dir)+"/") }
	for _, p := range r.Points {
		points = append(points, short(p.String()))
	}
	for _, w := range r.Warnings {
		warnings = append(warnings, short(w.String()))
	}
	return points, warnings
}

const goMod = "-- go.mod --\nmodule m\n\ngo 1.26\n"

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		fence        bool
		want, warn   []string
	}{
		{name: "by interface", source: `
type Service interface{ Apply(context.Context, Msg) error; Close() error }
type A struct{}
func (A) Apply(ctx context.Context, m Msg) error { return nil }
func (A) Close() error { return nil }
type B struct{}
func (*B) Apply(ctx context.Context, m Msg) error { return nil }
func (*B) Close() error { return nil }
type NoClose struct{}
func (NoClose) Apply(ctx context.Context, m Msg) error { return nil }`,
			want: []string{"A.Apply is service p.A", "B.Apply is service p.B"}},
		{name: "several of one type", source: `
type Producer interface{ Send(context.Context, Msg) (int, error); Retry(context.Context, Msg) error }
type A struct{}
func (A) Send(ctx context.Context, m Msg) (int, error) { return 0, nil }
func (A) Retry(ctx context.Context, m Msg) error { return nil }`, fence: true,
			want: []string{"A.Send is producer p.A.Send, fenced", "A.Retry is producer p.A.Retry, fenced"}},
		{name: "what looks like a service and is none", source: `
type Service interface{
	Get(context.Context, string) (Msg, error)
	Put(Msg) error
	Len(context.Context, Msg) int
	Both(context.Context, int, Msg) error
}
type A struct{}
func (A) Get(ctx context.Context, id string) (m Msg, err error) { return }
func (A) Put(Msg) error { return nil }
func (A) Len(context.Context, Msg) int { return 0 }
func (A) Both(context.Context, int, Msg) error { return nil }`},
		{name: "generic", source: `
type Workflow[M any] interface{ Run(context.Context, M) error }
type A struct{}
func (A) Run(context.Context, Msg) error { return nil }
type B[M interface{ ID() string }] struct{}
func (*B[M]) Run(context.Context, M) error { return nil }
type No struct{}
func (No) Run(context.Context) error { return nil }`,
			want: []string{"A.Run is workflow p.A", "B.Run is workflow p.B"}},
		{name: "by name", source: `
type A struct{}
func (A) OnMessage(context.Context, *Msg) error { return nil }
func (A) DoService(context.Context, *Msg) error { return nil }
func (A) Produce(context.Context, *Msg) error { return nil }
func Produce(context.Context, *Msg) error { return nil }
//profiler:skip
func (*Msg) Produce(context.Context, *Msg) error { return nil }`,
			want: []string{"A.OnMessage is workflow p.A.OnMessage", "A.DoService is service p.A.DoService", "A.Produce is producer p.A.Produce"}},
		{name: "marked", source: `
//profiler:step one
func One(ctx context.Context) {}
// Two does it.
//
//profiler:step two consumer
func Two(m Msg) error { return nil }
//profiler:step three fence
func Three(a int, c context.Context) error { return nil }
//profiler:step
func Four(ctx context.Context, _ ...Msg) error { return nil }
//profiler:step five workflow
func Five() {}
//profiler:stepson
func Six(ctx context.Context) {}`,
			want: []string{"One is service one", "Two is consumer two", "Three is producer three, fenced", "Four is service p.Four", "Five is workflow five"}},
		{name: "marked in vain", source: `
//profiler:step one
func One(n int) error { return nil }
//profiler:step two servise
func Two(ctx context.Context) error { return nil }
//profiler:step three workflow fence
func Three(ctx context.Context) error { return nil }
//profiler:step four fence
func Four(ctx context.Context) {}`,
			want: []string{"Four is producer four"},
			warn: []string{"One is not woven: it has neither a context nor a message with an id",
				`Two is not woven: "servise" is neither a kind of step nor fence`,
				"Three is not woven: only a producer can be fenced",
				"Four is not fenced: a fenced step must be able to return an error"}},
		{name: "a fault of the program", source: `
type A struct{ x Missing }
func (A) DoService(ctx context.Context, m Msg) error { return nil }
var y int = "no"`,
			want: []string{"A.DoService is service p.A"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := goMod + "-- p/p.go --\npackage p\n\nimport \"context\"\n\ntype Msg struct{ id string }\n\nfunc (m Msg) ID() string { return m.id }\n" + tt.source + "\n"
			points, warnings := foundIn(t, archive, tt.fence, "build", "./p")
			for _, list := range [][]string{points, warnings} {
				for i := range list {
					_, list[i], _ = strings.Cut(list[i], ": ")
				}
			}
			if !slices.Equal(points, tt.want) {
				t.Errorf("found %q\nwant %q", points, tt.want)
			}
			if !slices.Equal(warnings, tt.warn) {
				t.Errorf("warned %q\nwant %q", warnings, tt.warn)
			}
		})
	}
}

// TestIDs: where a message's id may be found.
func TestIDs(t *testing.T) {
	cases := map[string]bool{
		"type M struct{ ID string }":                                                      true,
		"type M = *N; type N struct{ UUID string }":                                       true,
		"type Key string; type M struct{ ID Key }":                                        true,
		"type M interface{ GetID() string }":                                              true,
		"type K [2]byte; func (K) String() string { return \"\" }; type M struct{ ID K }": true,
		"type B struct{ ID string }; type M struct{ *B }":                                 true,
		"type M struct{ ID int }":                                                         false,
		"type M struct{ id string }":                                                      false,
		"type M []N; type N struct{ ID string }":                                          false,
		"type M struct{}; func (M) ID(int) string { return \"\" }":                        false,
	}
	archive, fields := goMod, slices.Sorted(maps.Keys(cases))
	for i, f := range fields {
		archive += fmt.Sprintf("-- p%d/p.go --\npackage p\n\nimport \"context\"\n\n%s\ntype S struct{}\n\nfunc (S) DoService(ctx context.Context, m M) error { return nil }\n", i, f)
	}
	points, _ := foundIn(t, archive, false, "build", "./...")
	for i, f := range fields {
		got := slices.ContainsFunc(points, func(p string) bool { return strings.HasPrefix(p, fmt.Sprintf("p%d/", i)) })
		if got != cases[f] {
			t.Errorf("%s: found %v, want %v", f, got, cases[f])
		}
	}
}

// TestWhichPackages: only what is built, with the tags it is built with, and
// what tests need besides.
func TestWhichPackages(t *testing.T) {
	const step = "\nimport \"context\"\n\n//profiler:step X\nfunc X(ctx context.Context) {}\n"
	archive := goMod + "-- main.go --\npackage main\n\nimport _ \"m/a\"\n" + strings.Replace(step, "X(", "inMain(", 1) + "\nfunc main() {}\n" +
		"-- a/a.go --\npackage a\n" + step +
		"-- a/a_linux_arm.go --\npackage a\n\nfunc broken(\n" +
		"-- a/tagged.go --\n//go:build extra\n\npackage a\n" + strings.Replace(step, "X(", "Y(", 1) +
		"-- a/a_test.go --\npackage a_test\n\nimport _ \"m/b\"\n" +
		"-- b/b.go --\npackage b\n" + step +
		"-- c/c.go --\npackage c\n" + step
	for _, tt := range []struct{ args, want string }{
		{"build", "a/a.go main.go"},
		{"build .", "a/a.go main.go"},
		{"build -o x -tags extra ./a", "a/a.go a/tagged.go"},
		{"build --tags=extra ./a ./b", "a/a.go a/tagged.go b/b.go"},
		{"install ./...", "a/a.go b/b.go c/c.go main.go"},
		{"run . ./c", "a/a.go main.go"},
		{"run -trimpath main.go ./c", "a/a.go main.go"},
		{"test ./a -run X ./c", "a/a.go b/b.go"},
		{"test -run X -v -count 1 ./a", "a/a.go b/b.go"},
		{"build -C a", "a/a.go"},
	} {
		points, _ := foundIn(t, archive, false, strings.Fields(tt.args)...)
		var files []string
		for _, p := range points {
			name, _, _ := strings.Cut(p, ":")
			files = append(files, name)
		}
		slices.Sort(files)
		if got := strings.Join(files, " "); got != tt.want {
			t.Errorf("go %s: woven are %s, want %s", tt.args, got, tt.want)
		}
	}
}
