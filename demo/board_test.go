package demo

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		n := 0
		ready := func() bool { return n == 3 }
		got := make(chan error)
		wait := func(ctx context.Context) {
			go func() { got <- b.await(ctx, time.Second, "three", ready) }()
			synctest.Wait()
		}

		wait(t.Context())
		for range 3 {
			select {
			case err := <-got:
				t.Fatalf("at %d: returned %v", n, err)
			default:
			}
			b.change(func() { n++ })
			synctest.Wait()
		}
		if err := <-got; err != nil {
			t.Errorf("got %v", err)
		}

		n = 0
		wait(t.Context())
		if err := <-got; err == nil || err.Error() != "waited 1s in vain for three" {
			t.Errorf("got %v, want what was waited for", err)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		wait(ctx)
		cause := errors.New("the cause")
		cancel(cause)
		if err := <-got; !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
	})
}

func TestTeller(t *testing.T) {
	story := func(colour bool) string {
		var b strings.Builder
		tell := newTeller(&b, colour, func(err error) { t.Error(err) })
		tell.say(title, "one\ntwo")
		tell.event(1234*time.Millisecond, "a", good, "reigns, epoch %d", 3)
		tell.event(123*time.Second, "", plain, "done")
		tell.close()
		return b.String()
	}
	if got, want := story(false), "one\ntwo\n  1.23s  a  reigns, epoch 3\n123.00s  -  done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "\x1b[1mone\x1b[0m\n\x1b[1mtwo\x1b[0m\n\x1b[2m  1.23s\x1b[0m  a  \x1b[32mreigns, epoch 3\x1b[0m\n\x1b[2m123.00s\x1b[0m  -  done\n"
	if got := story(true); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type brokenPipe struct{ writes int }

func (b *brokenPipe) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("broken")
}

// A reader that has gone is told of once, and never waited for.
func TestTellerWithoutReader(t *testing.T) {
	out, failures := &brokenPipe{}, 0
	tell := newTeller(out, false, func(error) { failures++ })
	for range 10000 {
		tell.say(plain, "text")
	}
	tell.close()
	if out.writes != 1 || failures != 1 || !tell.failed() {
		t.Errorf("%d writes, %d failures told, failed %v; want 1, 1, true", out.writes, failures, tell.failed())
	}
}
