package cache

import (
	"errors"
	"fmt"
	"testing"
)

// A log that knows as many caches as it can under other names has no index for
// this one: a removal must not take another's.
func TestRemoveFromTheUndeclared(t *testing.T) {
	full := func(cfg *Config) {
		cfg.Caches = nil
		for i := range MaxCaches {
			cfg.Caches = append(cfg.Caches, Spec{Name: fmt.Sprint("x", i), Eternal: true})
		}
	}
	other := func(cfg *Config) {
		full(cfg)
		cfg.Caches[MaxCaches-1] = Spec{Name: "mine", Eternal: true, Synchronous: true}
	}
	a, b, c := start(t, "a", full), start(t, "b", other), start(t, "c", full)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	c.Follow(a.reign(1), a.Addr())
	x0, err := a.Cache.Named("x0")
	if err != nil {
		t.Fatal(err)
	}
	if err := x0.PutInFlight(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for _, i := range []*instance{b, c} {
		if err := a.Acked(t.Context(), i.Instance(), a.Pos().N); err != nil {
			t.Fatal(err)
		}
	}
	b.promote(2)
	c.Follow(b.reign(2), b.Addr())
	mine, err := b.Cache.Named("mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := mine.Remove(t.Context(), "k"); !errors.Is(err, ErrUnknown) {
		t.Errorf("removal from a cache that the log cannot name: %v", err)
	}
	if err := b.Acked(t.Context(), c.Instance(), b.Pos().N); err != nil {
		t.Fatal(err)
	}
	there, err := c.Cache.Named("x0")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := there.Get("k"); !ok {
		t.Error("a slave lost the entry of another cache")
	}
}
