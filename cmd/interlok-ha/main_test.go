//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakCheck{m}, map[string]func(){
		"interlok-ha": main,
		// Not used by the scripts: an instance to look at screens with.
		// Link the test binary to this name and call it with fakenode's words.
		"fake-instance": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			n, path, err := newFake((&app{environ: os.Environ()}).socketRoot(), os.Args[1:])
			if err == nil {
				s, newErr := admin.New(admin.Config{Node: n, Caches: n.cache, SocketPath: path})
				if err = newErr; err == nil {
					go n.live(ctx)
					err = s.Run(ctx)
				}
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		},
	})
}

type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// Short, since a socket's path has little room.
			dir, err := os.MkdirTemp("", "ha")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("XDG_RUNTIME_DIR", dir)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("TZ", "UTC")
			// The race detector sleeps a second at each exit, for programs that
			// leave goroutines behind.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[fakes{}] = map[string]*fake{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fakenode": startFake,
			"orders":   checkOrders,
			"exits":    checkExit,
			"cmpfrom":  compareTable,
		},
	})
}

// checkExit runs a command: exits CODE COMMAND ARG...
func checkExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// compareTable is cmp without what depends on the hour: cmpfrom stdout FILE
func compareTable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpfrom stdout FILE")
	}
	got := ts.ReadFile(args[0])
	got = regexp.MustCompile(`since \d\d:.*`).ReplaceAllString(got, "since SINCE")
	got = regexp.MustCompile(`since \d{4}-.*`).ReplaceAllString(got, "since SINCE")
	got = regexp.MustCompile(`(?m)^\S{12}  (cut|put|remove|orphan)`).ReplaceAllString(got, "NOW           $1")
	if want := ts.ReadFile(args[1]); got != want {
		ts.Fatalf("got:\n%s\nwant:\n%s", got, want)
	}
}

type fakes struct{}

// startFake serves an instance in memory until the script ends:
//
//	fakenode CLUSTER/NAME [master|slave|WORD] [fail=KIND:DETAIL:MEND] [plain] [then=EVENT,EVENT] [cache=master|slave|cut|alone]
func startFake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fakenode CLUSTER/NAME ...")
	}
	n, path, err := newFake(filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "interlok-ha"), args)
	ts.Check(err)
	s, err := admin.New(admin.Config{Node: n, Caches: n.cache, SocketPath: path})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		<-ended
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- err
		ts.Fatalf("fake instance: %v", err)
	}
	ts.Value(fakes{}).(map[string]*fake)[args[0]] = n
}

// checkOrders compares what an instance was told: orders CLUSTER/NAME ORDER...
func checkOrders(ts *testscript.TestScript, neg bool, args []string) {
	n := ts.Value(fakes{}).(map[string]*fake)[args[0]]
	if neg || n == nil {
		ts.Fatalf("usage: orders CLUSTER/NAME ORDER...")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if got, want := strings.Join(n.orders, ", "), strings.Join(args[1:], ", "); got != want {
		ts.Fatalf("the instance was told %q, want %q", got, want)
	}
	n.orders = nil
}

// fake is an instance in memory.
type fake struct {
	status admin.Status
	fail   error
	then   []string // events after the present state; then the stream ends
	feed   *admin.Feed
	cache  admin.Caches // nil: none

	mu     sync.Mutex // guards orders
	orders []string
}

var _ admin.Node = (*fake)(nil)

func newFake(root string, args []string) (*fake, string, error) {
	cluster, name, ok := strings.Cut(args[0], "/")
	if !ok {
		return nil, "", fmt.Errorf("%q is not CLUSTER/NAME", args[0])
	}
	no := false
	since := admin.Time{Time: time.Date(2026, 11, 21, 10, 12, 19, 123_000_000, time.UTC)}
	n := &fake{status: admin.Status{
		Schema: 1, Cluster: cluster,
		Instance: admin.Instance{Name: name, ID: "2f00000000000000000000000000000a", Role: "master", State: "master", Epoch: 3, Since: since, PID: 4711},
		Master:   &admin.Master{Name: name, ID: "2f00000000000000000000000000000a", Epoch: 3},
		Peers: []admin.Peer{
			{Name: "w", ID: "9c00000000000000000000000000000c", Role: "slave", Epoch: 3, LastContactMs: 15_301, Address: "[2001:db8::c]:2710", State: "slave", Candidate: &no},
			{Name: "c", ID: "9c00000000000000000000000000000b", Role: "slave", Position: 2, Epoch: 3, LastContactMs: 12, Address: "192.0.2.117:2710", State: "drained"},
			{Name: "b", ID: "9c00000000000000000000000000000a", Role: "slave", Position: 1, Epoch: 3, LastContactMs: 301, Address: "127.0.0.1:41811", State: "slave", CacheSeq: 1234},
		},
		Settings: admin.Settings{Design: "3.0.6", DelayMs: 1000, Retries: 5},
		Workload: &admin.Workload{Command: []string{"./my-service", "--port", "8080", "--a-rather-long-flag", "and-its-value"}, State: "running", PID: 4712, Restarts: 1},
		Packets:  &admin.Packets{Sent: 120, Received: 361, Dropped: map[string]uint64{"foreign": 10, "forged": 2, "malformed": 0}},
	}}
	for _, arg := range args[1:] {
		word, value, _ := strings.Cut(arg, "=")
		switch word {
		case "slave":
			n.status.Instance.Role, n.status.Instance.State, n.status.Instance.Position = "slave", "slave", 1
			n.status.Master = &admin.Master{Name: "m", ID: "77", Epoch: 3, LastContactMs: 40}
			n.status.Peers = []admin.Peer{{Name: "m", ID: "77", Role: "master", Epoch: 3, LastContactMs: 40, Address: "192.0.2.7:2710"}}
		case "odd":
			n.status.Instance.Role = "odd"
		case "lonely":
			n.status.Master, n.status.Peers, n.status.Workload, n.status.Packets = nil, nil, nil, nil
			n.status.Instance.Role, n.status.Instance.State, n.status.Instance.Since = "slave", "listening", admin.Time{}
		case "barred":
			w := n.status.Peers[0]
			w.Barred = "it is a witness"
			n.status.Peers = []admin.Peer{w, {Name: "b", Role: "slave", Epoch: 3, Address: "192.0.2.7:2710", State: "slave", Barred: "its health check fails"}}
			n.status.Instance.Role, n.status.Instance.State = "slave", "slave"
			n.status.Instance.Candidate, n.status.Instance.Barred = &no, "it is a mirror (failover.voters)"
			n.status.Workload = &admin.Workload{State: "stopped"}
			n.status.Master, n.status.Packets = nil, nil
		case "alarm":
			n.status.Alarms = []string{"peer c runs with delay 250 ms, this instance with 1000 ms"}
		case "evil":
			n.status.Alarms = []string{"\x1b[2J\ncluster   forged\x9b[31mred\u009b"}
		case "fail":
			p := strings.SplitN(value+"||", "|", 4)
			n.fail = &admin.Error{Kind: admin.Kind(p[0]), Detail: p[1], Mend: p[2]}
		case "then":
			n.then = strings.Split(value, ",")
		case "cache":
			c, err := newFakeCache(value)
			if err != nil {
				return nil, "", err
			}
			n.cache = c
			n.status.Cache = &admin.Cache{Name: "FAILOVER_CACHE", Entries: 6, InFlight: 2, Seq: 1234, Copy: c.stats.Copy}
			if c.stats.Copy == nil {
				n.status.Cache.InSync = []string{"b"}
			}
		default:
			return nil, "", fmt.Errorf("%q is no word of fakenode", word)
		}
	}
	n.feed = admin.NewFeed(n.event(admin.EventState), 16)
	return n, filepath.Join(root, cluster, name+".sock"), nil
}

func (n *fake) event(kind string) admin.Event {
	e := admin.Event{Time: n.status.Instance.Since, Type: kind, Instance: n.status.Instance.Name, Role: n.status.Instance.Role,
		State: n.status.Instance.State, Epoch: n.status.Instance.Epoch}
	if n.status.Master != nil {
		e.Master = n.status.Master.Name
	}
	switch {
	case strings.HasPrefix(kind, "peer."):
		e.Peer = "b"
	case kind == admin.EventConflict:
		e.Peer, e.Detail = "z", "reigns too, with epoch 2"
	case kind == admin.EventWorkloadExited:
		e.Detail = "exit status 1; started again in 1s"
	}
	return e
}

// live makes something happen, for the eye.
func (n *fake) live(ctx context.Context) {
	for tick := time.Tick(time.Second); ; {
		for _, kind := range []string{"peer.joined", "peer.left", "promoted", "demoted", "conflict", "workload.exited", "settings.differ"} {
			select {
			case <-tick:
				n.feed.Publish(n.event(kind))
			case <-ctx.Done():
				return
			}
		}
	}
}

func (n *fake) order(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, fmt.Sprintf(format, args...))
	return n.fail
}

func (n *fake) Status() admin.Status { return n.status }

func (n *fake) Subscribe(ctx context.Context) <-chan admin.Event {
	if n.then == nil {
		return n.feed.Subscribe(ctx)
	}
	ch := make(chan admin.Event, len(n.then)+1)
	ch <- n.event(admin.EventState)
	for _, kind := range n.then {
		ch <- n.event(kind)
	}
	close(ch)
	return ch
}

func (n *fake) Switchover(ctx context.Context, to string) (string, error) {
	wait := "own"
	if until, ok := ctx.Deadline(); ok {
		wait = time.Until(until).Round(time.Minute).String()
	}
	if err := n.order("switchover to=%s wait=%s", to, wait); err != nil {
		return "", err
	}
	if to == "" {
		to = "b"
	}
	return to, nil
}

func (n *fake) Drain(_ context.Context, force bool) error { return n.order("drain force=%v", force) }
func (n *fake) Resume(context.Context) error              { return n.order("resume") }
func (n *fake) Promote(_ context.Context, force bool) error {
	return n.order("promote force=%v", force)
}
func (n *fake) Maintenance(_ context.Context, d time.Duration) error {
	return n.order("maintenance %s", d)
}

// A second signal stops at once; the first alone does not. SIGHUP does neither:
// it is handed on.
func TestSignals(t *testing.T) {
	a := &app{stderr: new(strings.Builder), logFormat: "json", logLevel: "info"}
	hangup := make(chan os.Signal, 1)
	ctx, now, done := untilSignalled(t.Context(), a.logger(), hangup)
	defer done()
	send := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		send(syscall.SIGHUP)
		<-hangup
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("SIGHUP: %v", err)
	}
	send(syscall.SIGTERM)
	<-ctx.Done()
	select {
	case <-now:
		t.Fatal("the first signal stopped at once")
	default:
	}
	send(syscall.SIGINT)
	<-now
	// A third changes nothing. It is waited for: after done it would end this process.
	third := make(chan os.Signal, 1)
	signal.Notify(third, syscall.SIGTERM)
	defer signal.Stop(third)
	send(syscall.SIGTERM)
	<-third
}
