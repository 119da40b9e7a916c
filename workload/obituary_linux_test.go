package workload

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is told at all is told only after the node and the whole tree are dead.
func TestObituary(t *testing.T) {
	for _, how := range []string{"bare", "tree"} {
		t.Run(how, func(t *testing.T) {
			m := bear(t, how)
			c := m.dial()
			start := time.Now()
			m.signal(m.pid, unix.SIGKILL)
			age, err := hear(c)
			took := time.Since(start)
			if err != nil {
				t.Fatal(err)
			}
			for i, fd := range append(m.tree, m.pid) {
				if !ended(fd, 0) {
					t.Errorf("it was told while process %d of %d lived", i+1, len(m.tree)+1)
				}
			}
			if age < 0 || age > took {
				t.Errorf("age %v, but the node was killed %v ago", age, took)
			}
			t.Logf("from SIGKILL of the node to the obituary: %v (its age %v)", took.Round(10*time.Microsecond), age.Round(10*time.Microsecond))
			var b [1]byte
			if _, err := c.Read(b[:]); err != io.EOF {
				t.Errorf("after the obituary: %v, want EOF", err)
			}
			_ = c.Close()
			// Nobody waits for the keeper's output, or for its directory.
			for _, name := range []string{"fd/0", "fd/1", "fd/2", "cwd"} {
				to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", m.number, name))
				if err != nil || to != "/dev/null" && to != "/" {
					t.Errorf("the keeper holds %s as %s, %v", to, name, err)
				}
			}

			late := m.dial() // not the first, and not waiting
			if again, err := hear(late); err != nil || again < age {
				t.Errorf("the second: age %v, %v; the first was %v", again, err, age)
			}
			_ = late.Close()
			gone(t, []int{m.keeper}) // a second after the last visitor, much sooner than Linger
			refused(t, m.addr)
		})
	}
}

// The node dies when its keeper was just born, before, while or after that
// starts COMMAND.
func TestObituaryAtBirth(t *testing.T) {
	for i := range 20 {
		m := bear(t, "early")
		c := m.dial()
		time.Sleep(time.Duration(i) * 500 * time.Microsecond) // any moment will do
		m.signal(m.pid, unix.SIGKILL)
		if _, err := hear(c); err != nil {
			t.Fatal(err)
		}
		// Whoever lived would hold the pipe open.
		_ = m.outEnd.Close()
		if err := m.out.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(m.out); err != nil {
			t.Errorf("round %d: something lives: %v", i, err)
		}
		// Unless it has told all there are, and left.
		if err := unix.PidfdSendSignal(m.keeper, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
	}
}

// The whole tree is dead and the pipe is closed, but the node's process lives:
// it is silent until that is over.
func TestObituaryWaitsForTheNode(t *testing.T) {
	for _, how := range []string{"bare-exec", "exec", "pipe"} {
		t.Run(how, func(t *testing.T) {
			m := bear(t, how)
			c := m.dial()
			m.told()
			gone(t, m.tree)
			silent(t, c)
			m.signal(m.pid, unix.SIGKILL)
			if _, err := hear(c); err != nil {
				t.Error(err)
			}
		})
	}
}

// A keeper that was prepared, and then told that it is not needed, does not
// speak for the node: there may be another one, whose COMMAND lives.
func TestNoObituaryOfTheUnneeded(t *testing.T) {
	m := bear(t, "twice")
	c := m.dial()
	if !ended(m.pid, patient) {
		t.Fatal("the node lives")
	}
	// The kernel may have woken it: a stopped group that is left without a
	// parent is continued.
	if err := unix.PidfdSendSignal(m.keeper, unix.SIGCONT, nil, 0); err != nil && err != unix.ESRCH {
		t.Fatal(err)
	}
	silent(t, c)
	gone(t, []int{m.keeper})
}

func TestNoObituaryOfTheFrozen(t *testing.T) {
	m := bear(t, "bare")
	c := m.dial()
	m.signal(m.pid, unix.SIGSTOP)
	silent(t, c)
	m.signal(m.pid, unix.SIGKILL)
	if _, err := hear(c); err != nil {
		t.Error(err)
	}
}

// Nobody speaks for a node whose keeper died with it, or before it, though a
// member of the tree may live.
func TestNoObituaryWithoutKeeper(t *testing.T) {
	for _, how := range []string{"bare", "tree"} {
		t.Run("together, "+how, func(t *testing.T) {
			m := bear(t, how)
			c := m.dial()
			// Neither acts between the two blows.
			m.signal(m.pid, unix.SIGSTOP)
			m.signal(m.keeper, unix.SIGSTOP)
			m.signal(m.pid, unix.SIGKILL)
			m.signal(m.keeper, unix.SIGKILL)
			gone(t, []int{m.pid, m.keeper})
			if heard, err := io.ReadAll(c); len(heard) != 0 {
				t.Errorf("heard % x, %v", heard, err)
			}
			refused(t, m.addr)
			alive := 0
			for _, fd := range m.tree {
				if !ended(fd, 0) {
					alive++
				}
			}
			if how == "tree" && alive == 0 {
				t.Error("nothing lives on: the test shows nothing")
			}
		})
		t.Run("the keeper first, "+how, func(t *testing.T) {
			m := bear(t, how)
			c := m.dial()
			m.signal(m.keeper, unix.SIGKILL)
			gone(t, append(m.tree, m.keeper)) // the node kills the tree
			silent(t, c)
			m.signal(m.pid, unix.SIGKILL)
			gone(t, []int{m.pid})
			if heard, err := io.ReadAll(c); len(heard) != 0 {
				t.Errorf("heard % x, %v", heard, err)
			}
			refused(t, m.addr)
		})
	}
}

// listener returns a listener and the obituary of a node that is this process.
func listener(t *testing.T) (net.Listener, *Obituary) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	copied, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = copied.Close() })
	return l, &Obituary{Listener: copied, Instance: testInstance, Secret: testSecret, Linger: testLinger}
}

// While the node lives nothing is told, however its work ended, and the
// keeper's copies of its files are closed.
func TestNoObituaryWhileTheNodeLives(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script string // none: a bare keeper
		end    func(*Process)
		want   Cause
	}{
		{"exited", "exit 0", func(*Process) {}, CauseExited},
		{"stopped", "sleep 60", func(p *Process) { p.Stop(patient) }, CauseStopped},
		{"killed", "sleep 60", (*Process).Kill, CauseKilled},
		{"not fed", "sleep 60", func(p *Process) { p.Feed(9, 0) }, CauseExpired},
		{"bare, stopped", "", func(p *Process) { p.Stop(patient) }, CauseStopped},
		{"bare, killed", "", (*Process).Kill, CauseKilled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, o := listener(t)
			cfg := Config{Env: os.Environ(), Stderr: os.Stderr, Obituary: o}
			var p *Process
			if tt.script != "" {
				cfg.Command = shell(tt.script)
				p = begin(t, cfg, hour())
			} else {
				var err error
				if p, err = StartBare(cfg, Reign{}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.Kill(); finish(t, p) })
				if p.Feed(1, 0) {
					t.Error("a bare keeper was fed")
				}
			}
			<-p.Started()
			c, err := net.Dial("tcp4", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			tt.end(p)
			if r := finish(t, p); r.Cause != tt.want {
				t.Errorf("result = %+v, want %v", r, tt.want)
			}
			_ = l.Close()
			_ = o.Listener.Close()
			if heard, err := io.ReadAll(c); len(heard) != 0 {
				t.Errorf("heard % x, %v", heard, err)
			}
			refused(t, l.Addr().String())
		})
	}
}

func TestObituaryErrors(t *testing.T) {
	_, o := listener(t)
	for _, tt := range []struct {
		name string
		o    *Obituary
		want string
	}{
		{"none", nil, "neither a command nor an obituary"},
		{"empty", &Obituary{}, "listener: none given"},
		{"no linger", &Obituary{Listener: o.Listener}, "linger: 0s is not positive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := StartBare(Config{Obituary: tt.o}, Reign{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("no listener", func(t *testing.T) {
		r, _ := pipe(t)
		p, err := StartBare(Config{Obituary: &Obituary{Listener: r, Linger: time.Second}}, Reign{})
		if err != nil {
			t.Fatal(err)
		}
		if res := finish(t, p); res.Cause != CauseKeeperLost {
			t.Errorf("result = %+v, want a lost keeper", res)
		}
	})
}

// Everybody is told: more than are served at a time, beside some who misbehave.
func TestObituaryForMany(t *testing.T) {
	m := bear(t, "tree")
	idle := m.dial() // never reads, never closes
	flood := m.dial()
	var wg sync.WaitGroup
	wg.Go(func() { // until it is cut off
		if err := flood.SetWriteDeadline(time.Now().Add(patient)); err != nil {
			return
		}
		for b := make([]byte, 1<<16); ; {
			if _, err := flood.Write(b); err != nil {
				return
			}
		}
	})
	const many = 2*maxVisitors - 8 // and two: as many as every kernel lets wait
	failed := make(chan error, many)
	for range many {
		c := m.dial()
		wg.Go(func() {
			_, err := c.Write([]byte("hello"))
			if err == nil {
				_, err = hear(c)
			}
			failed <- errors.Join(err, c.Close())
		})
	}
	m.signal(m.pid, unix.SIGKILL)
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if _, err := hear(flood); err != nil {
		t.Errorf("who sends without end: %v", err)
	}
	wg.Wait()
	gone(t, []int{m.keeper}) // the idle one does not hold it
	if _, err := hear(idle); err != nil {
		t.Errorf("who reads late: %v", err)
	}
}

// A successor is not kept waiting for the lock or the port.
func TestSuccessor(t *testing.T) {
	for _, how := range []string{"bare", "tree"} {
		t.Run(how, func(t *testing.T) {
			m := bear(t, how)
			f, err := os.OpenFile(m.lock, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
				t.Fatalf("lock while the node lives: %v, want EWOULDBLOCK", err)
			}
			start := time.Now()
			m.signal(m.pid, unix.SIGKILL)
			for err = unix.EWOULDBLOCK; err == unix.EWOULDBLOCK && time.Since(start) < patient; {
				err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			}
			if err != nil {
				t.Fatal(err)
			}
			locked := time.Since(start)
			for _, fd := range append(m.tree, m.pid) {
				if !ended(fd, 0) {
					t.Error("the lock was free while something lived")
				}
			}
			if ended(m.keeper, 0) {
				t.Error("the keeper left before it told anybody")
			}
			if _, err := f.WriteAt([]byte("1"), 0); err != nil { // as a successor does
				t.Fatal(err)
			}
			l, err := net.Listen("tcp4", m.addr)
			for errors.Is(err, unix.EADDRINUSE) && time.Since(start) < patient {
				l, err = net.Listen("tcp4", m.addr)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
			gone(t, []int{m.keeper})
			t.Logf("from SIGKILL of the node to the lock %v, to the port %v", locked.Round(10*time.Microsecond), time.Since(start).Round(10*time.Microsecond))
		})
	}
}

// Asked to end, as a service manager asks what is left of a dead service, the
// keeper of a dead node does not stay for long.
func TestHeraldIsAsked(t *testing.T) {
	m := bear(t, "bare")
	m.signal(m.keeper, unix.SIGTERM) // while the node lives it only remembers
	m.signal(m.pid, unix.SIGKILL)
	gone(t, []int{m.keeper})
}

func TestHeraldLingers(t *testing.T) {
	m := bear(t, "brief")
	m.signal(m.pid, unix.SIGKILL)
	gone(t, []int{m.keeper})
	refused(t, m.addr)
}

// The secret stands nowhere that other processes can read.
func TestSecretIsSecret(t *testing.T) {
	m := bear(t, "bare")
	for _, name := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", m.number, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, testSecret[1:5]) || strings.Contains(strings.ToLower(string(text)), hex.EncodeToString(testSecret[1:5])) {
			t.Errorf("%s holds the secret: %q", name, text)
		}
	}
	// Nor is the pipe left that it came through.
	dir := fmt.Sprintf("/proc/%d/fd", m.number)
	if to, err := os.Readlink(dir + "/" + fmt.Sprint(fdTestament)); err == nil && strings.HasPrefix(to, "pipe:") {
		t.Errorf("file %d is still %s", fdTestament, to)
	}
}

func TestBareFootprint(t *testing.T) {
	m := bear(t, "bare")
	kib := resident(t, m.number)
	t.Logf("bare keeper: %.1f MiB resident", float64(kib)/1024)
	if !raceEnabled && kib > 10<<10 {
		t.Errorf("bare keeper: %d KiB resident, want at most 10 MiB", kib)
	}
}
