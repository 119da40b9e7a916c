package node

import (
	"slices"
	"strings"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Why an instance may not become master, for people.
const (
	isWitness  = "it is a witness"
	isMirror   = "it is a mirror (failover.voters)"
	isDrained  = "it is drained"
	isSick     = "its health check fails"
	isPaused   = "it pauses after a failure; its own status says which"
	isLate     = "its process was not run in time just now"
	isIsolated = "it hears no other instance"
	isFaulty   = "it is at fault; its own status says why"
)

// ineligible says why this instance may not become master; "" if it may.
func (n *Node) ineligible(v election.View) string {
	switch {
	case n.mirrors():
		return isMirror
	case !n.s.Election.Candidate:
		return isWitness
	case v.Drained:
		return isDrained
	case v.Pause != "":
		return "it pauses: " + v.Pause
	case v.Unhealthy:
		return isSick
	case v.Fault != "":
		return v.Fault
	case v.Isolated:
		return isIsolated
	}
	return ""
}

// mirrors reports whether this instance has no vote, and so is never master.
func (n *Node) mirrors() bool {
	e := n.s.Election
	return e.Quorum > 0 && len(e.Voters) > 0 && !slices.Contains(e.Voters, n.s.Name)
}

// barred says the same of a peer, as far as its heartbeats tell.
func (n *Node) barred(p election.PeerView) string {
	switch {
	case !p.Flags.Has(heartbeat.FlagCandidate) && !p.Flags.Has(heartbeat.FlagVoter) && n.s.Election.Quorum > 0:
		return isMirror
	case !p.Flags.Has(heartbeat.FlagCandidate):
		return isWitness
	case p.Flags.Has(heartbeat.FlagDrained):
		return isDrained
	case p.Flags.Has(heartbeat.FlagPaused):
		return isPaused
	case p.Flags.Has(heartbeat.FlagUnhealthy):
		return isSick
	case p.Flags.Has(heartbeat.FlagStalled):
		return isLate
	case p.Flags.Has(heartbeat.FlagIsolated):
		return isIsolated
	case p.State == heartbeat.StateFault:
		return isFaulty
	}
	return ""
}

// mostNamed is how many instances an alarm names.
const mostNamed = 8

// nobodyMay is an alarm, if there is no master and nobody that is heard may
// become one; else "".
func (n *Node) nobodyMay(v election.View) string {
	own := n.ineligible(v)
	if v.State != heartbeat.StateSlave || !v.Follow.Instance.IsZero() || v.Maintenance > 0 || own == "" || v.Isolated {
		return ""
	}
	whys := []string{n.s.Name + ": " + own}
	drained := own == isDrained
	for _, p := range v.Peers {
		if p.Age > n.s.Down() {
			continue
		}
		why := n.barred(p)
		if why == "" {
			return ""
		}
		drained = drained && (why == isDrained || why == isWitness || why == isMirror)
		whys = append(whys, p.Name+": "+why)
	}
	if drained {
		return "no instance may become master, all are drained; for one of them: interlok-ha resume"
	}
	if len(whys) > mostNamed {
		whys = append(whys[:mostNamed], "…")
	}
	return "no instance may become master: " + strings.Join(whys, ", ")
}
