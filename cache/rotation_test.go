package cache

import (
	"errors"
	"net"
	"sync"
	"testing"
)

// TestRotation: streams go on for as long as their key is among the keys.
func TestRotation(t *testing.T) {
	a, b := newTestGuard(t, "c", keyA), newTestGuard(t, "c", keyA)
	set := func(g *guard, keys ...[32]byte) {
		t.Helper()
		if err := g.setKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	open := func() shaken {
		t.Helper()
		s := shakeHands(t, a, b)
		if err := errors.Join(s.clientErr, s.serverErr); err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := open()
	set(a, keyA, keyB)
	open()
	set(b, keyA, keyB)
	set(a, keyB, keyA)
	fresh := open()
	set(b, keyB, keyA)
	passes(t, old.client, old.server, 1000)
	passes(t, fresh.server, fresh.client, 1000)
	set(a, keyB)
	if _, err := old.client.Write([]byte{1}); err == nil {
		t.Error("a stream lives on whose key was dropped")
	}
	if _, err := old.server.Read(make([]byte, 1)); err == nil {
		t.Error("the other end of a stream whose key was dropped lives on")
	}
	passes(t, fresh.client, fresh.server, 1000)
	set(b, keyB)
	passes(t, fresh.server, fresh.client, 1000)
	open()
	set(a, keyC)
	if s := shakeHands(t, b, a); !errors.Is(s.clientErr, errWrongKey) || !errors.Is(s.serverErr, errWrongKey) {
		t.Errorf("a dropped key: %v, %v", s.clientErr, s.serverErr)
	}
	if len(a.open) != 0 {
		t.Errorf("%d streams with keys that were dropped", len(a.open))
	}
	for _, bad := range []struct {
		g    *guard
		keys [][32]byte
	}{{a, nil}, {newTestGuard(t, "c"), [][32]byte{keyA}}} {
		if err := bad.g.setKeys(bad.keys); err == nil {
			t.Errorf("from %d keys to %d", len(bad.g.keys), len(bad.keys))
		}
	}
}

// TestRotationRace drops the key of streams that are just being opened.
func TestRotationRace(t *testing.T) {
	a, b := newTestGuard(t, "c", keyA), newTestGuard(t, "c", keyA)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			g := []*guard{a, b}[i%2]
			if err := g.setKeys([][32]byte{{byte(i)}, keyA}); err != nil {
				t.Error(err)
			}
			if i%4 > 1 {
				_ = g.setKeys([][32]byte{keyB})
			}
		}
	})
	for range 20 {
		s := shakeHands(t, a, b)
		for _, c := range []net.Conn{s.client, s.server} {
			if c != nil {
				c.Close()
			}
		}
	}
	wg.Wait()
	// A key that goes while its proof is on the way.
	before := a.snapshot()[0]
	_ = a.setKeys([][32]byte{keyC})
	if err := a.admit(&secured{guard: a, key: before}); !errors.Is(err, errWrongKey) {
		t.Errorf("a key that was dropped meanwhile: %v", err)
	}
	_ = b.setKeys([][32]byte{keyC})
	if len(a.open)+len(b.open) != 0 {
		t.Errorf("%d and %d streams left", len(a.open), len(b.open))
	}
}
