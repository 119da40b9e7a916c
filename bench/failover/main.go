//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/workload"
)

func init() {
	// The main thread belongs to the main goroutine, so that no namespace is
	// ever made on it: /proc/PID/ns would show that one.
	runtime.LockOSThread()
}

// Roles of this program when a trial starts it.
const (
	roleVerb    = "role"
	roleLibrary = "library"
	roleFifo    = "fifo"
	roleRaft    = "raft"
	roleRedis   = "redis-writer"
	roleEtcd    = "etcd-candidate"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "keeper" { // of our library
		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
	}
	run := benchmark
	if len(os.Args) > 1 && os.Args[1] == roleVerb {
		run = role
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// role is what a trial started: role NAME FOLDER NODE ARG...
func role(args []string) error {
	if len(args) < 4 {
		return errors.New("role: too few arguments")
	}
	dir, rest := args[2], args[4:]
	node, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	arg := func(i int) string {
		if i < len(rest) {
			return rest[i]
		}
		return ""
	}
	switch args[1] {
	case roleLibrary:
		return library(dir, node, rest)
	case roleFifo:
		return fifo(dir, node, arg(0))
	case roleRedis:
		return writer(dir, node)
	case roleRaft, roleEtcd:
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			return err
		}
		if args[1] == roleRaft {
			return raftMember(dir, node, d)
		}
		return candidate(dir, node, d)
	}
	return fmt.Errorf("no role %q", args[1])
}

// bench is one run of all of it.
type bench struct {
	dir   string // of the trials
	self  string // this program
	ours  string // interlok-ha
	actor string // what it starts in order to act
	root  string // of the repository
	keep  bool
	out   string
	bars  bool // what is promised must hold
	full  bool // and all of it must be measured

	starting sync.Mutex // held while one trial starts its processes, which takes a burst of work
}

func benchmark(args []string) error {
	f := flag.NewFlagSet("failover", flag.ContinueOnError)
	runs := f.Int("runs", 20, "trials of each contender and fault")
	short := f.Bool("short", false, "2 runs of the quick contenders; what is promised need not hold")
	workers := f.Int("workers", 18, "trials at once; half as many where milliseconds count: crashes, clean stops, short intervals")
	only := f.String("only", "", "contenders and faults whose `SLUG/FAULT` this expression matches")
	out := f.String("out", "", "folder for failover.md, .csv and .svg; none: print only")
	keep := f.Bool("keep", false, "keep the folders of all trials, with logs")
	seed := f.Uint64("seed", 1, "of the order of trials and the moments of faults")
	root := f.String("root", "../..", "folder of the repository")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *short {
		*runs = 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("no %s here (Debian: iproute2)", tool)
		}
	}

	b := &bench{root: *root, keep: *keep, out: *out, bars: !*short, full: !*short && *only == ""}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	// Short, for the paths of sockets.
	if b.dir, err = os.MkdirTemp("", "ilha-bf"); err != nil {
		return err
	}
	if err := b.build(); err != nil {
		return err
	}

	var here []contender
	var missing []string
	for _, c := range contenders() {
		if why := c.peer.missing(); why != "" {
			missing = append(missing, fmt.Sprintf("%s, %s: not measured, no %s here", c.name, c.settings, why))
		} else if !*short || c.quick {
			here = append(here, c)
		}
	}
	var todo []*trial
	for _, t := range plan(here, *runs, *seed) {
		if match.MatchString(t.c.slug + "/" + t.f.name) {
			todo = append(todo, t)
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	h := b.header(*runs, *workers)
	var prompt, other []*trial
	for _, t := range todo {
		if t.f.prompt || t.c.interval <= 100*time.Millisecond {
			prompt = append(prompt, t)
		} else {
			other = append(other, t)
		}
	}
	b.all(ctx, prompt, max(1, *workers/2))
	b.all(ctx, other, *workers)
	h.took = time.Since(h.began)
	h.loadAfter = load()
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.report(h, todo, missing)
}

// build builds what is started besides this program.
func (b *bench) build() error {
	b.ours, b.actor = filepath.Join(b.dir, "interlok-ha"), filepath.Join(b.dir, "actor")
	for _, what := range []struct{ in, out, pkg string }{
		{b.root, b.ours, "./cmd/interlok-ha"},
		{filepath.Join(b.root, "bench", "failover"), b.actor, "./actor"},
	} {
		cmd := exec.Command("go", "build", "-C", what.in, "-o", what.out, what.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", what.pkg, err, said)
		}
	}
	return nil
}

// all runs the trials, some at once.
func (b *bench) all(ctx context.Context, todo []*trial, workers int) {
	next := make(chan *trial)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards done and the terminal
	done := 0
	for range workers {
		wg.Go(func() {
			for t := range next {
				t.do(ctx, b)
				mu.Lock()
				done++
				fmt.Fprintf(os.Stderr, "%4d/%d  %-20s %-10s %s\n", done, len(todo), t.c.slug, t.f.name, t)
				mu.Unlock()
			}
		})
	}
	for _, t := range todo {
		if ctx.Err() != nil {
			break
		}
		next <- t
	}
	close(next)
	wg.Wait()
}
