package failover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func open(t *testing.T, dir string) (*Store, election.State) {
	t.Helper()
	s, st, err := OpenStore(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, st
}

func TestStoreRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, st := open(t, dir)
	if st != (election.State{}) {
		t.Fatalf("a new directory holds %+v", st)
	}
	want := election.State{MaxEpoch: 9, Reigned: 8, Granted: 7, GrantedTo: heartbeat.InstanceID{1, 2}, Promise: 5 * time.Second, Drained: true}
	for i := range uint64(5) {
		want.MaxEpoch += i
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, st = open(t, dir); st != want {
			t.Fatalf("got %+v, want %+v", st, want)
		}
	}
}

// TestStoreTornWrite cuts the newest slot at every length: the one before
// must be found; with both spoilt, the state is unsure.
func TestStoreTornWrite(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for i := range uint64(2) {
		if err := s.Save(election.State{MaxEpoch: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	newest := s.slot(s.counter)
	whole, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	for n := range len(whole) {
		if err := os.WriteFile(newest, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s, st := open(t, dir)
		if st.MaxEpoch != 1 || st.Unsure {
			t.Fatalf("cut at %d: %+v", n, st)
		}
		_ = s.Close()
	}
	for i := range whole { // one flipped bit
		b := append([]byte(nil), whole...)
		b[i] ^= 1
		if _, _, ok := decodeSlot(b); ok {
			t.Errorf("a flipped bit in byte %d is not noticed", i)
		}
	}
	if err := os.WriteFile(s.slot(s.counter+1), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, st := open(t, dir); !st.Unsure {
		t.Error("two spoilt slots pass as a new start")
	}
}

func TestStoreLock(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	_, _, err := OpenStore(dir, time.Minute)
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("second opening: %v", err)
	}
	_ = s.Close()
	open(t, dir)
}

func TestStoreSaysWhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := OpenStore(filepath.Join(file, "x"), 0)
	if err == nil || !strings.Contains(err.Error(), "failover.state.dir") {
		t.Errorf("an error without the mend: %v", err)
	}
}

// TestStoreNewer: what a later version wrote is neither forgotten nor overruled
// by an older slot beside it.
func TestStoreNewer(t *testing.T) {
	for _, both := range []bool{true, false} {
		dir := t.TempDir()
		s, _ := open(t, dir)
		for range 2 {
			if err := s.Save(election.State{MaxEpoch: 6}); err != nil {
				t.Fatal(err)
			}
		}
		b := append(encodeSlot(9, election.State{MaxEpoch: 7}), 1, 2, 3)
		b[len(slotMagic)-1] = '2'
		for n := range uint64(2) {
			if n == 0 || both {
				if err := os.WriteFile(s.slot(n), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = s.Close()
		_, _, err := OpenStore(dir, 0)
		if err == nil || !strings.Contains(err.Error(), s.slot(0)+" is of a newer version") || !strings.Contains(err.Error(), "remove state.0 and state.1 from "+dir) {
			t.Errorf("both %v: %v", both, err)
		}
		if kept, _ := os.ReadFile(s.slot(0)); string(kept) != string(b) {
			t.Errorf("both %v: it was written over", both)
		}
	}
}

// TestStoreLongSlot: a slot that is too long is not read; it is whole again after the next saves.
func TestStoreLongSlot(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for n := range uint64(2) {
		if err := os.WriteFile(s.slot(n), make([]byte, slotSize+20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(2) {
		if err := s.Save(election.State{MaxEpoch: i + 5}); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	if _, st := open(t, dir); st.MaxEpoch != 6 || st.Unsure {
		t.Errorf("got %+v, want what was saved", st)
	}
}

// TestStoreFollowsNoLink: whoever can make a link in the directory must not
// have another file written.
func TestStoreFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	for n := range 2 {
		if err := os.Symlink(victim, filepath.Join(dir, fmt.Sprintf("state.%d", n))); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := OpenStore(dir, 0)
	if err == nil {
		err = s.Save(election.State{MaxEpoch: 1})
		_ = s.Close()
	}
	if _, stat := os.Lstat(victim); err == nil || stat == nil {
		t.Errorf("a link was followed (%v)", err)
	}
}
