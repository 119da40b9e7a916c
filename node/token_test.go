package node

import (
	"testing"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Tokens compare as text: by generation, then epoch.
func TestToken(t *testing.T) {
	id := heartbeat.InstanceID{0x2f}
	const tail = "-2f000000000000000000000000000000"
	last := ""
	for _, tt := range []struct {
		generation, epoch uint64
		want              string
	}{
		{0, 1, "00000000000000000001" + tail},
		{0, 10, "00000000000000000010" + tail},
		{0, heartbeat.MaxEpoch, "09223372036854775807" + tail},
		{1, 1, "10000000000000000001-00000000000000000001" + tail},
		{1, 2, "10000000000000000001-00000000000000000002" + tail},
		{2, 1, "10000000000000000002-00000000000000000001" + tail},
	} {
		n := &Node{s: &config.Settings{Generation: tt.generation}, id: id}
		got := n.token(tt.epoch)
		if got != tt.want || got <= last {
			t.Errorf("generation %d, epoch %d: %s, want %s, above %s", tt.generation, tt.epoch, got, tt.want, last)
		}
		last = got
	}
}

// The code is documented: who supervises the process tells by it that work was
// left behind.
func TestExitWorkRemains(t *testing.T) {
	if exitWorkRemains != 70 {
		t.Errorf("the code is %d, want 70", exitWorkRemains)
	}
}
