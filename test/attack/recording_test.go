//go:build linux

package attack

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

const played = 25 // heartbeats, about three leases

// recording is what an instance said as a master.
func (v *victim) recording(id string) (list []lab.Heard) {
	for _, h := range v.wire.Heard() {
		if h.Packet.Instance.String() == id && h.Packet.State.Reigns() {
			list = append(list, h)
		}
	}
	return list
}

// restartAll ends both instances and starts others, of the same names and in
// the same state directories, as after a power cut. What went over the wire
// before is the recording.
func restartAll(t *testing.T, v *victim) {
	lab.Wait(t, "a recording", soon, func() bool { return len(v.recording(v.master.MustStatus().Instance.ID)) >= played })
	v.recorded = v.master.MustStatus().Instance.ID
	for _, i := range []*lab.Instance{v.slave, v.master} {
		i.KillHard()
	}
	lab.Wait(t, "nothing of them runs", soon, func() bool { return len(v.c.Descendants()) == 0 })
	v.start(v.master.Name, v.slave.Name)
}

// playBack sends all that the killed master said in its last three leases, as
// fast as it said it, to a new master and a new slave.
func playBack(t *testing.T, v *victim) int {
	recording := v.recording(v.recorded)
	recording = recording[max(0, len(recording)-played):]
	for i, h := range recording {
		if i > 0 {
			time.Sleep(min(h.At.Sub(recording[i-1].At), v.delay)) // as it was recorded
		}
		if err := v.wire.Conn.Multicast(h.Raw); err != nil {
			t.Fatal(err)
		}
	}
	return 2 // it shows as one conflict, however long it plays
}
