package admin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNode is an instance in memory. Orders are recorded, and answered with fail.
type fakeNode struct {
	feed *Feed

	mu     sync.Mutex // guards the rest
	status Status
	orders []string
	fail   error
	hang   bool // Switchover waits for its ctx
}

var _ Node = (*fakeNode)(nil)

func newFakeNode() *fakeNode {
	since := Time{time.Date(2026, 11, 21, 10, 12, 19, 123_000_000, time.UTC)}
	return &fakeNode{
		feed: NewFeed(Event{Time: since, Instance: "a", Role: RoleMaster, State: StateMaster, Epoch: 3, Master: "a"}, 16),
		status: Status{
			Cluster:  "default",
			Instance: Instance{Name: "a", ID: "2f", Role: RoleMaster, State: StateMaster, Epoch: 3, Since: since},
			Master:   &Master{Name: "a", ID: "2f", Epoch: 3, LastContactMs: 12},
			Peers:    []Peer{{Name: "b", ID: "9c", Role: RoleSlave, Position: 1, Epoch: 3, LastContactMs: 301, Address: "127.0.0.1:41811", CacheSeq: 1234}},
			Cache:    &Cache{Name: "FAILOVER_CACHE", Entries: 10, InFlight: 2, Seq: 1234, InSync: []string{"b"}},
			Settings: Settings{Design: "3.0.6", DelayMs: 1000, Retries: 5},
		},
	}
}

func (n *fakeNode) order(text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, text)
	return n.fail
}

func (n *fakeNode) ordered() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.orders...)
}

func (n *fakeNode) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

func (n *fakeNode) Subscribe(ctx context.Context) <-chan Event { return n.feed.Subscribe(ctx) }

func (n *fakeNode) Switchover(ctx context.Context, to string) (string, error) {
	n.mu.Lock()
	hang := n.hang
	n.mu.Unlock()
	if hang {
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", ctx.Err()
		}
		return "", &Error{Kind: KindTimeout, Detail: "no heartbeat of a new master in time", Err: ctx.Err()}
	}
	if err := n.order("switchover " + to); err != nil {
		return "", err
	}
	if to == "" {
		to = "b"
	}
	return to, nil
}

func (n *fakeNode) Drain(_ context.Context, force bool) error {
	return n.order("drain" + map[bool]string{true: " force"}[force])
}

func (n *fakeNode) Resume(context.Context) error { return n.order("resume") }

func (n *fakeNode) Promote(_ context.Context, force bool) error {
	return n.order("promote" + map[bool]string{true: " force"}[force])
}

func (n *fakeNode) Maintenance(_ context.Context, d time.Duration) error {
	return n.order("maintenance " + d.String())
}

// shortDir is a folder whose name leaves room for a socket's, closed to others.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ha")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve runs a server until the test ends, and hands its socket's path back.
func serve(t *testing.T, node Node, change func(*Server)) (path string, stop func() error) {
	t.Helper()
	path = filepath.Join(shortDir(t), "c", "a.sock")
	s, err := New(Config{Node: node, SocketPath: path, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("server ended at once: %v", err)
	}
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("server: %v", err)
		}
	})
	return path, stop
}
