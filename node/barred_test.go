package node

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func TestBarred(t *testing.T) {
	const candidate = heartbeat.FlagCandidate
	for want, p := range map[string]election.PeerView{
		"":         {Flags: candidate, State: heartbeat.StateSlave},
		isWitness:  {},
		isDrained:  {Flags: candidate | heartbeat.FlagDrained},
		isPaused:   {Flags: candidate | heartbeat.FlagUnhealthy | heartbeat.FlagPaused},
		isSick:     {Flags: candidate | heartbeat.FlagUnhealthy},
		isLate:     {Flags: candidate | heartbeat.FlagStalled},
		isIsolated: {Flags: candidate | heartbeat.FlagIsolated},
		isFaulty:   {Flags: candidate, State: heartbeat.StateFault},
	} {
		if got := (&Node{s: &config.Settings{}}).barred(p); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
	// With a quorum a witness says that it votes, and a mirror does not.
	n := &Node{s: &config.Settings{Name: "m"}}
	n.s.Election.Quorum, n.s.Election.Candidate = 2, true
	for want, f := range map[string]heartbeat.Flags{isMirror: 0, isWitness: heartbeat.FlagVoter, "": candidate | heartbeat.FlagVoter} {
		if got := n.barred(election.PeerView{Flags: f}); got != want {
			t.Errorf("with a quorum, flags %b: %q, want %q", f, got, want)
		}
	}
	for name, want := range map[string]string{"m": "", "x": isMirror} {
		n.s.Election.Voters = []string{name}
		if got := n.ineligible(election.View{}); got != want {
			t.Errorf("m among the voters %q: %q, want %q", name, got, want)
		}
	}
}

// The alarm says what there is to do when nobody may become master.
func TestNobodyMay(t *testing.T) {
	n := &Node{s: &config.Settings{Name: "a"}}
	n.s.Election.Candidate, n.s.Election.Delay, n.s.Election.Retries = true, time.Second, 5
	const candidate = heartbeat.FlagCandidate
	drained := election.PeerView{Name: "b", Flags: candidate | heartbeat.FlagDrained}
	witness := election.PeerView{Name: "w"}
	sick := election.PeerView{Name: "c", Flags: candidate | heartbeat.FlagUnhealthy}
	well := election.PeerView{Name: "d", Flags: candidate, State: heartbeat.StateSlave}
	silent := well
	silent.Age = time.Minute
	slave := election.View{State: heartbeat.StateSlave}
	view := func(change func(*election.View), peers ...election.PeerView) election.View {
		v := slave
		change(&v)
		v.Peers = peers
		return v
	}
	isDrainedToo := func(v *election.View) { v.Drained = true }
	const all = "no instance may become master, all are drained; for one of them: interlok-ha resume"
	for _, tt := range []struct {
		name string
		view election.View
		want string
	}{
		{"all are drained", view(isDrainedToo, drained, witness, silent), all},
		{"one is not", view(isDrainedToo, drained, well), ""},
		{"this one may", view(func(*election.View) {}, drained), ""},
		{"a master reigns", view(func(v *election.View) { v.Drained, v.Follow.Instance = true, heartbeat.InstanceID{1} }, drained), ""},
		{"each for its own reason", view(func(v *election.View) { v.Unhealthy, v.Pause = true, "the command fails too often" }, drained, sick),
			"no instance may become master: a: it pauses: the command fails too often, b: it is drained, c: its health check fails"},
	} {
		if got := n.nobodyMay(tt.view); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
