package node

import (
	"context"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/workload"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "keeper" { // a keeper is this binary
		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
	}
	signal.Reset()
	os.Exit(m.Run())
}

// testCommand is a command of a node that has nothing else.
func testCommand(t *testing.T, argv ...string) *command {
	t.Helper()
	s, err := config.Load(config.Source{Hostname: "test", Environ: []string{"HOME=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	s.StateDir = t.TempDir()
	store, _, err := failover.OpenStore(s.StateDir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	n := &Node{s: s, store: store, o: Options{Settings: s, Command: argv}, id: heartbeat.InstanceID{1}}
	n.feed = newFeed("test", time.Now())
	if err := n.openCache(netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cache.Close() })
	w, err := newWork(n)
	if err != nil {
		t.Fatal(err)
	}
	return w.(*command)
}

// The keeper ended the command, but mastership was renewed all the same: the
// command must run, or this would be a master that does nothing.
func TestExpiredAndRenewed(t *testing.T) {
	w := testCommand(t, "sleep", "60")
	w.wanted, w.epoch = true, 1
	g := election.Guard{Until: now() + time.Minute, Epoch: 1}
	w.guard.Store(&g)
	w.ended(workload.Result{Cause: workload.CauseExpired})
	p := w.proc.Load()
	if p == nil {
		t.Fatal("a master with an open guard runs no command")
	}
	if !w.Abandon() {
		t.Error("the command does not end")
	}
	if st := w.Status(); st.State != "running" && st.PID == 0 {
		t.Errorf("status %+v", st)
	}

	w = testCommand(t, "sleep", "60")
	w.wanted = true
	closed := election.Guard{}
	w.guard.Store(&closed)
	w.ended(workload.Result{Cause: workload.CauseExpired})
	if w.proc.Load() != nil {
		t.Error("the command is started with a closed guard")
	}
}

// failover.on.conflict=exit ends the run when another master outranks this
// one, and for no other reason.
func TestOnConflictExit(t *testing.T) {
	for _, tt := range []struct {
		set  config.OnConflict
		e    election.Event
		want bool
	}{
		{config.ConflictExit, election.Event{Type: election.EventLost, Peer: heartbeat.InstanceID{2}}, true},
		{config.ConflictExit, election.Event{Type: election.EventLost}, false},
		{config.ConflictDemote, election.Event{Type: election.EventLost, Peer: heartbeat.InstanceID{2}}, false},
	} {
		ctx, quit := context.WithCancelCause(t.Context())
		n := &Node{s: &config.Settings{Name: "a", Election: config.Election{OnConflict: tt.set}}, quit: quit}
		n.feed = newFeed("a", time.Now())
		n.observe(tt.e)
		if got := context.Cause(ctx) == ErrOutranked; got != tt.want {
			t.Errorf("%s, %+v: ends the run: %v, want %v", tt.set, tt.e, got, tt.want)
		}
		quit(nil)
	}
}

var _ admin.Node = (*orders)(nil)

// The token file cannot be written: what is in its place goes, and it is tried
// again.
func TestTokenFileIsTriedAgain(t *testing.T) {
	w := testCommand(t, "sleep", "60")
	w.n.s.Election.Delay = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Run(ctx) }()
	defer func() { w.Abandon(); cancel(); <-ended }()

	if err := os.Mkdir(w.tokenFile, 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	w.Guard(election.Guard{Until: now() + time.Minute, Epoch: 1})
	w.Open(1)
	want := w.n.token(1) + "\n"
	for from := time.Now(); ; time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(w.tokenFile); err == nil && string(b) == want {
			break
		}
		if time.Since(from) > 10*time.Second {
			t.Fatal("the token file was not written")
		}
	}
}

// Whoever reads the new token in the file can see that the command under the
// old one is on its way out.
func TestNewTokenStopsTheCommand(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	w := testCommand(t, "sh", "-c", "trap '' TERM; : > "+ready+"; exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Run(ctx) }()
	defer func() { w.Abandon(); cancel(); <-ended }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for from := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(from) > 10*time.Second {
				t.Fatalf("waited for %s", what)
			}
		}
	}

	w.Guard(election.Guard{Until: now() + time.Minute, Epoch: 1})
	w.Open(1)
	until("the command", func() bool { _, err := os.Stat(ready); return err == nil && w.Status().PID > 0 })
	old := w.Status().PID
	w.Epoch(2)
	until("the new token", func() bool {
		b, _ := os.ReadFile(w.tokenFile)
		return string(b) == w.n.token(2)+"\n"
	})
	if st := w.Status(); st.State != "stopping" || st.PID != old {
		t.Errorf("status %+v while process %d ends", st, old)
	}
	w.Abandon()
	until("the next command", func() bool { st := w.Status(); return st.State == "running" && st.PID != old })
}

// A keeper that does not answer is ended, and its command with it.
func TestDeafKeeperIsEnded(t *testing.T) {
	w := testCommand(t, "sleep", "60")
	n := w.n
	var err error
	n.manager, err = failover.New(failover.Config{
		Election: election.Config{Self: n.id, Name: "test", Delay: time.Second, Retries: 5}, Work: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.wanted, w.epoch = true, 1
	g := election.Guard{Until: now() + time.Minute, Epoch: 1}
	w.Guard(g)
	w.start()
	p := w.proc.Load()
	defer w.Abandon()
	<-p.Started()
	w.Guard(g)
	select {
	case <-p.Done():
		t.Fatal("one that answers is ended")
	default:
	}
	n.s.Election.Delay = 0 // no patience: whatever it said is too long ago
	w.Guard(g)             // the first look is not believed
	w.Guard(g)
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Error("the keeper does not answer, and the command goes on")
	}
}

// Mastership that is lost leaves the command its fence timeout, not the time
// of a planned stop.
func TestLostIsQuick(t *testing.T) {
	w := testCommand(t, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	n := w.n
	n.s.Workload.StopTimeout, n.s.Workload.FenceTimeout = time.Minute, 50*time.Millisecond
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), out.Close() }()
	n.o.Stdout = out
	n.manager, err = failover.New(failover.Config{
		Election: election.Config{Self: n.id, Name: "test", Delay: time.Second, Retries: 5}, Work: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	w.Guard(election.Guard{Until: now() + time.Minute, Epoch: 1})
	w.Open(1)
	if _, err := r.Read(make([]byte, 6)); err != nil { // it ignores TERM from here on
		t.Fatal(err)
	}
	opened := make(chan struct{})
	w.post(func() { close(opened) })
	<-opened
	p := w.proc.Load()
	w.Stop(false)
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		p.Kill()
		t.Error("the command lives on after the mastership was lost")
	}
}

// A keeper that waits for the end of a claim is used if the claim is won under
// its epoch; in no other case does it stay.
func TestPrepared(t *testing.T) {
	const claiming, slave = heartbeat.StateClaiming, heartbeat.StateSlave
	run := func(t *testing.T) (w *command, keeper func() *workload.Process, stop func()) {
		w = testCommand(t, "sleep", "60")
		w.Guard(election.Guard{Until: now() + time.Minute, Epoch: 5})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = w.Run(ctx) }()
		stop = func() { cancel(); <-ended }
		t.Cleanup(func() { w.Abandon(); stop() })
		keeper = func() *workload.Process {
			var p *workload.Process
			done := make(chan struct{})
			w.post(func() { p = w.prepared; close(done) })
			<-done
			return p
		}
		return w, keeper, stop
	}
	gone := func(t *testing.T, p *workload.Process) {
		t.Helper()
		select {
		case <-p.Done():
		case <-time.After(20 * time.Second):
			t.Fatal("the keeper stays")
		}
		if p.Pid() != 0 {
			t.Error("COMMAND was started")
		}
	}
	t.Run("won", func(t *testing.T) {
		w, keeper, _ := run(t)
		w.State(claiming, 5)
		p := keeper()
		if p == nil {
			t.Fatal("none waits")
		}
		w.State(heartbeat.StateOpening, 5)
		w.State(heartbeat.StateMaster, 5)
		w.Open(5)
		if keeper() != nil || w.proc.Load() != p {
			t.Error("COMMAND runs under another keeper")
		}
		<-p.Started()
		w.State(claiming, 6) // it never is, while the command runs
		if keeper() != nil {
			t.Error("a second keeper waits")
		}
	})
	t.Run("won under a greater epoch", func(t *testing.T) {
		w, keeper, _ := run(t)
		w.State(claiming, 4)
		p := keeper()
		w.Open(5)
		if keeper() != nil || w.proc.Load() == p {
			t.Error("COMMAND runs under the wrong epoch")
		}
		<-w.proc.Load().Started()
		gone(t, p)
	})
	t.Run("won after its end", func(t *testing.T) {
		w, keeper, _ := run(t)
		w.State(claiming, 5)
		p := keeper()
		p.Kill()
		gone(t, p)
		w.Open(5)
		if keeper() != nil || w.proc.Load() == p {
			t.Error("COMMAND waits for a dead keeper")
		}
		<-w.proc.Load().Started()
	})
	t.Run("lost", func(t *testing.T) {
		w, keeper, _ := run(t)
		w.State(claiming, 5)
		p := keeper()
		w.State(slave, 0)
		if keeper() != nil {
			t.Error("it is kept")
		}
		gone(t, p)
	})
	t.Run("in vain, again and again", func(t *testing.T) {
		w, keeper, _ := run(t)
		w.State(claiming, 5)
		p := keeper()
		w.State(slave, 0)
		w.State(claiming, 6)
		if keeper() != nil {
			t.Error("one waits again, within a minute of one that waited in vain")
		}
		gone(t, p)
		w.post(func() { w.vain -= 2 * time.Minute })
		w.State(claiming, 7)
		if keeper() == nil {
			t.Error("none waits, two minutes later")
		}
	})
	t.Run("left", func(t *testing.T) {
		w, keeper, stop := run(t)
		w.State(claiming, 5)
		p := keeper()
		stop()
		gone(t, p)
	})
}
