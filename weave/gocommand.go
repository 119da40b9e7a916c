package weave

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// command is a call of the go command, taken apart.
type command struct {
	verb    string
	flags   []string // of the build, as `go list` takes them too
	overlay string   // the caller's own -overlay
	dir     string   // of -C
	before  []string // all up to where -overlay can be inserted
	after   []string
	pkgs    []string // what is built; none is the package in dir
}

// verbs are those of the go command that build what is in an overlay. Vet is
// none: what it says of woven code is of use to nobody.
var verbs = []string{"build", "install", "run", "test"}

// withValue are flags of the build that take a value, perhaps as the next
// argument.
var withValue = []string{"asmflags", "buildmode", "compiler", "gccgoflags", "gcflags", "installsuffix",
	"ldflags", "mod", "modfile", "p", "pgo", "pkgdir", "tags", "toolexec", "covermode", "coverpkg"}

// own are flags with a value that belong to one verb and say nothing about
// which files are built.
var own = []string{"o", "exec",
	"run", "skip", "bench", "benchtime", "blockprofile", "blockprofilerate", "count", "coverprofile", "cpu",
	"cpuprofile", "fuzz", "fuzztime", "fuzzminimizetime", "list", "memprofile", "memprofilerate",
	"mutexprofile", "mutexprofilefraction", "outputdir", "parallel", "shuffle", "timeout", "trace", "vet"}

// selecting are flags without a value that change which files are built, or
// how the packages they need are compiled.
var selecting = []string{"race", "msan", "asan", "trimpath", "linkshared", "modcacherw", "buildvcs"}

// parse takes the arguments behind `go` apart.
func parse(args []string) (command, error) {
	if len(args) == 0 {
		return command{}, errors.New("say what go is to do: build, install, run or test")
	}
	c := command{verb: args[0]}
	if !slices.Contains(verbs, c.verb) {
		return command{}, fmt.Errorf("go %s builds nothing that could be woven: it is one of %s", c.verb, strings.Join(verbs, ", "))
	}
	i := 1
	for i < len(args) && strings.HasPrefix(args[i], "-") && args[i] != "-" {
		name, value, given := strings.Cut(strings.TrimPrefix(args[i][1:], "-"), "=")
		if args[i] == "--" || name == "args" && c.verb == "test" {
			break
		}
		from := i
		takes := name == "C" || name == "overlay" || slices.Contains(withValue, name) || slices.Contains(own, name)
		if takes && !given {
			if i+1 == len(args) {
				return command{}, fmt.Errorf("the flag -%s of go %s needs a value", name, c.verb)
			}
			i++
			value = args[i]
		}
		i++
		switch {
		case name == "C":
			if from != 1 {
				return command{}, errors.New("the flag -C has to be the first of the go command")
			}
			c.dir = value
		case name == "overlay":
			c.overlay = value
			continue // ours takes its place
		case name == "vet":
			continue // see with
		case slices.Contains(withValue, name):
			if name != "p" && name != "pgo" && !strings.HasPrefix(name, "cover") && name != "ldflags" {
				c.flags = append(c.flags, "-"+name+"="+value)
			}
		case slices.Contains(selecting, name):
			c.flags = append(c.flags, args[from])
		}
		c.before = append(c.before, args[from:i]...)
	}
	c.after = args[i:]
	for _, a := range c.after {
		if strings.HasPrefix(a, "-") {
			break
		}
		if c.verb == "run" && len(c.pkgs) > 0 && !strings.HasSuffix(a, ".go") {
			break
		}
		if c.verb == "run" && len(c.pkgs) > 0 && !strings.HasSuffix(c.pkgs[0], ".go") {
			break
		}
		c.pkgs = append(c.pkgs, a)
	}
	return c, nil
}

// with is the go command's arguments with another overlay. Vet, of which `go
// test` runs a part, has to stay off: it wants to enter the folder of each
// package, and that of the hooks is in the overlay only.
func (c command) with(overlay string) []string {
	args := append([]string{c.verb}, c.before...)
	at := 1
	if c.dir != "" { // -C stays first
		at = 2
		if !strings.Contains(args[1], "=") {
			at = 3
		}
	}
	args = slices.Insert(args, at, "-overlay="+overlay)
	if c.verb == "test" {
		args = slices.Insert(args, at+1, "-vet=off")
	}
	return append(args, c.after...)
}

// list is a call of `go list` for the same build.
func (c command) list(more ...string) []string {
	args := append([]string{"list", "-e"}, c.flags...)
	if c.overlay != "" {
		args = append(args, "-overlay="+c.overlay)
	}
	return append(args, more...)
}

// in is a path as the go command sees it.
func (c command) in(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, c.dir, name)
}
