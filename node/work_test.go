package node

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/config"
)

type fakeKeeper struct {
	started chan struct{}
	echo    time.Duration
}

func (k *fakeKeeper) Started() <-chan struct{} { return k.started }
func (k *fakeKeeper) LastEcho() time.Duration  { return k.echo }

func TestDeafKeeper(t *testing.T) {
	const ms = time.Millisecond
	s := &config.Settings{}
	s.Election.Delay, s.Election.Retries = 100*ms, 10 // a lease of 800 ms, so a patience of 400 ms
	running := make(chan struct{})
	close(running)
	type look struct {
		at, echo time.Duration
		want     bool
	}
	for _, tt := range []struct {
		name    string
		started chan struct{}
		looks   []look
	}{
		{"answers", running, []look{{100 * ms, 50 * ms, false}, {500 * ms, 450 * ms, false}}},
		{"silent", running, []look{{400 * ms, 0, false}, {401 * ms, 0, false}, {430 * ms, 0, false}, {460 * ms, 0, true}}},
		{"this process was stalled; the echo is read a little later", running, []look{
			{900 * ms, 100 * ms, false}, {910 * ms, 100 * ms, false}, {920 * ms, 915 * ms, false}, {1000 * ms, 915 * ms, false},
		}},
		{"silent, answers, silent again", running, []look{
			{500 * ms, 0, false}, {520 * ms, 510 * ms, false}, {1000 * ms, 510 * ms, false}, {1040 * ms, 510 * ms, false}, {1060 * ms, 510 * ms, true},
		}},
		{"is long in starting", make(chan struct{}), []look{{900 * ms, 0, false}, {5000 * ms, 0, false}}},
		{"never starts", make(chan struct{}), []look{{5001 * ms, 0, false}, {5100 * ms, 0, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &command{n: &Node{s: s}}
			for _, l := range tt.looks {
				if got := w.deaf(&fakeKeeper{tt.started, l.echo}, l.at); got != l.want {
					t.Errorf("at %v, last echo %v: deaf = %v, want %v", l.at, l.echo, got, l.want)
				}
			}
		})
	}
}
