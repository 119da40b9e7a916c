//go:build unix

package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestSocketIsClosedToOthers(t *testing.T) {
	old := syscall.Umask(0) // the loosest there is
	defer syscall.Umask(old)
	path, stop := serve(t, newFakeNode(), nil)
	for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %#o, want %#o", file, got, want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run returned %v after cancel", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there after Run: %v", err)
	}
}

// What stands in the socket's place decides.
func TestSocketPlace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		kind    Kind   // "" = Run starts
		says    string // part of the error
	}{
		{"nothing", func(*testing.T, string) {}, "", ""},
		{"stale socket", func(t *testing.T, path string) { staleSocket(t, path) }, "", ""},
		{"live socket", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, KindRunning, "somebody answers"},
		{"symlink to nothing", func(t *testing.T, path string) { symlink(t, path+".elsewhere", path) }, KindBadSocket, "symbolic link"},
		{"symlink to a stale socket", func(t *testing.T, path string) {
			staleSocket(t, path+".elsewhere")
			symlink(t, path+".elsewhere", path)
		}, KindBadSocket, "symbolic link"},
		{"file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, KindBadSocket, "is no socket"},
		{"folder open to others", func(t *testing.T, path string) {
			if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
		}, KindBadSocket, "open to others"},
		{"folder is a symlink", func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			if err := os.Rename(dir, dir+"2"); err != nil {
				t.Fatal(err)
			}
			symlink(t, dir+"2", dir)
		}, KindBadSocket, "symbolic link"},
		{"folder above open to all", func(t *testing.T, path string) {
			if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o777); err != nil {
				t.Fatal(err)
			}
		}, KindBadSocket, "anyone can swap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "c", "a.sock")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, path)
			_, missing := os.Lstat(path)
			s, err := New(Config{Node: newFakeNode(), SocketPath: path})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			if tt.kind != "" {
				err := <-ended
				if KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v (%s), want %s with %q", err, KindOf(err), tt.kind, tt.says)
				}
				if _, err := os.Lstat(path); missing == nil && err != nil {
					t.Errorf("what stood there is gone: %v", err)
				}
				return
			}
			select {
			case <-s.Ready():
			case err := <-ended:
				t.Fatalf("Run: %v", err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// ownedInfo is a folder as if it belonged to somebody.
type ownedInfo struct {
	os.FileInfo
	uid int
}

func (i ownedInfo) Sys() any { return &syscall.Stat_t{Uid: uint32(i.uid)} }

// Who owns the folder above the socket's could swap that for another.
func TestFolderAboveOfAnother(t *testing.T) {
	dir := shortDir(t)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	for uid, want := range map[int]bool{0: true, me: true, me + 1: false} {
		err := checkAbove(dir, ownedInfo{info, uid})
		if (err == nil) != want || err != nil && (KindOf(err) != KindBadSocket || !strings.Contains(err.Error(), fmt.Sprintf("belongs to user %d", uid))) {
			t.Errorf("user %d: %v, want it to pass: %v", uid, err, want)
		}
	}
}

// A socket whose file is taken away is made again, and the instance is reached.
func TestSocketIsMadeAgain(t *testing.T) {
	path, stop := serve(t, newFakeNode(), func(s *Server) { s.look = 10 * time.Millisecond })
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		_, err := NewClient(path).Status(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // no one tells when
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new socket: %v, %v", info, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new socket is still there after Run: %v", err)
	}
}

func TestLongSocketPath(t *testing.T) {
	path := "/tmp/" + strings.Repeat("n", 120) + ".sock"
	_, err := New(Config{Node: newFakeNode(), SocketPath: path})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != KindBadSocket || !strings.Contains(e.Mend, "XDG_RUNTIME_DIR") {
		t.Errorf("got %#v, want an error that names XDG_RUNTIME_DIR", err)
	}
	if err := CheckSocketPath("/" + strings.Repeat("n", maxSocketPath-1)); err != nil {
		t.Errorf("a path of the greatest length: %v", err)
	}
}

// Run leaves a socket alone that has taken its own one's place.
func TestForeignSocketSurvives(t *testing.T) {
	path, stop := serve(t, newFakeNode(), nil)
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	staleSocket(t, path)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket: %v", err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	path, _ := serve(t, newFakeNode(), func(s *Server) { s.allowed = func(int) bool { return false } })
	if _, err := NewClient(path).Status(t.Context()); KindOf(err) != KindNotReached {
		t.Errorf("a stranger got %v, want no answer", err)
	}
}

func TestSameUserOrRoot(t *testing.T) {
	me := os.Geteuid()
	for uid, want := range map[int]bool{0: true, me: true, me + 1: false} {
		if got := sameUserOrRoot(uid); got != want {
			t.Errorf("user %d: %v, want %v", uid, got, want)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	path, _ := serve(t, newFakeNode(), nil)
	c := dial(t, path)
	// net/http adds 4 KiB to the limit.
	go fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", maxHeaders+4096))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %v, %v, want 431", resp, err)
	}
}

// A request that is not sent to its end is not waited for; an order that takes
// longer than that is.
func TestReadTimeout(t *testing.T) {
	node := newFakeNode()
	node.hang = true
	path, _ := serve(t, node, func(s *Server) { s.read = 50 * time.Millisecond })

	slow := dial(t, path)
	fmt.Fprint(slow, "POST /v1/resume HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	if resp, err := http.ReadResponse(bufio.NewReader(slow), nil); err == nil && resp.StatusCode == 200 {
		t.Error("half a request was carried out")
	}
	if got := node.ordered(); got != nil {
		t.Errorf("half a request was carried out: %q", got)
	}

	_, err := NewClient(path).Switchover(t.Context(), "b", 300*time.Millisecond)
	if KindOf(err) != KindTimeout {
		t.Errorf("an order that takes six times the read timeout: %v, want %s", err, KindTimeout)
	}
}

func TestEventsStream(t *testing.T) {
	node := newFakeNode()
	path, stop := serve(t, node, func(s *Server) { s.stop = time.Hour }) // streams don't wait for that
	var got []string
	for e, err := range NewClient(path).Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Type)
		if len(got) == 1 {
			node.feed.Publish(Event{Type: EventPeerJoined, Role: RoleMaster, Peer: "c"})
			node.feed.Publish(Event{Type: EventDemoted, Role: RoleSlave})
		}
		if len(got) == 3 {
			break
		}
	}
	if want := "state peer.joined demoted"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// The next stream begins with what the last event left.
	for e, err := range NewClient(path).Events(t.Context()) {
		if err != nil || e.Type != EventState || e.Role != RoleSlave {
			t.Errorf("the second stream begins with %+v, %v", e, err)
		}
		break
	}
	// A stream that is open does not keep Run from ending, and its reader is told.
	next, done := pull(NewClient(path).Events(t.Context()))
	defer done()
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := next(); KindOf(err) != KindNotReached {
		t.Errorf("the reader of a stopped server got %v", err)
	}
}

// A stream has no read timeout, though its request had one.
func TestEventsOutliveReadTimeout(t *testing.T) {
	node := newFakeNode()
	path, _ := serve(t, node, func(s *Server) { s.read = 50 * time.Millisecond })
	next, done := pull(NewClient(path).Events(t.Context()))
	defer done()
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	// Whoever comes later and is cut off by the timeout shows that it has passed.
	later := dial(t, path)
	fmt.Fprint(later, "POST /v1/resume HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	if _, err := io.ReadAll(later); err != nil {
		t.Fatal(err)
	}
	node.feed.Publish(Event{Type: EventPromoted})
	if e, err := next(); err != nil || e.Type != EventPromoted {
		t.Errorf("after the read timeout: %+v, %v", e, err)
	}
}

// slowNode takes its time to leave after its caller has gone.
type slowNode struct {
	*fakeNode
	entered chan struct{}
	left    atomic.Bool
}

func (n *slowNode) Switchover(ctx context.Context, _ string) (string, error) {
	close(n.entered)
	<-ctx.Done()
	time.Sleep(20 * time.Millisecond) // the work, not a wait for anybody
	n.left.Store(true)
	return "", ctx.Err()
}

// No handler outlives Run, even one that does not hurry.
func TestRunWaitsForHandlers(t *testing.T) {
	node := &slowNode{fakeNode: newFakeNode(), entered: make(chan struct{})}
	path, stop := serve(t, node, func(s *Server) { s.stop = time.Nanosecond })
	asked := make(chan error, 1)
	go func() {
		_, err := NewClient(path).Switchover(t.Context(), "b", 0)
		asked <- err
	}()
	<-node.entered
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !node.left.Load() {
		t.Error("Run returned while a handler was at work")
	}
	if err := <-asked; err == nil {
		t.Error("an order that was cut off was told as done")
	}
}

func TestServerSentEvents(t *testing.T) {
	node := newFakeNode()
	path, _ := serve(t, node, nil)
	c := dial(t, path)
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	r := bufio.NewReader(resp.Body)
	var lines []string
	for range 3 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	data, ok := strings.CutPrefix(lines[1], "data: ")
	if lines[0] != "event: state\n" || !ok || !json.Valid([]byte(data)) || lines[2] != "\n" {
		t.Errorf("got %q", lines)
	}
}

// A reader that lags is told so and cut off; the publisher never waits.
func TestSlowSubscriberIsCut(t *testing.T) {
	node := newFakeNode()
	path, _ := serve(t, node, nil)
	c := dial(t, path)
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	// More than the kernel's buffers and the feed's hold together.
	detail := strings.Repeat("x", 32<<10)
	const sent = 200
	for range sent {
		node.feed.Publish(Event{Type: "noise", Detail: detail})
	}
	var last Event
	n := 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if last.Type != EventCut || n >= sent {
		t.Errorf("after %d of %d events the stream ended with %q, want it cut short by %q", n, sent, last.Type, EventCut)
	}
}

func staleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func symlink(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
