package electiontest

import (
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// act performs one line of the scenario.
func (s *sim) act(a Action) error {
	s.logf("-- %s", a)
	each := func(f func(*node)) error {
		for _, name := range a.Args {
			for _, n := range s.find(name) {
				f(n)
			}
		}
		return nil
	}
	first := func(f func(*node)) error {
		for _, n := range s.find(a.Args[0]) {
			f(n)
		}
		return nil
	}
	tell := func(in election.Input) error {
		return first(func(n *node) { n.run(func() { n.step(in) }) })
	}
	var d time.Duration
	switch a.Verb {
	case "pause", "freeze", "sleep", "maintenance", "slowdisk":
		var err error
		if d, err = time.ParseDuration(a.Args[1]); err != nil {
			return err
		}
	}
	switch a.Verb {
	case "start":
		return each((*node).start)
	case "amnesia":
		s.chk.lossy = true
		return each(func(n *node) {
			if !n.up {
				n.disk = election.State{}
				n.start()
			}
		})
	case "corrupt":
		s.chk.lossy = true
		return each(func(n *node) {
			if !n.up {
				n.disk = election.State{Unsure: true}
				n.start()
			}
		})
	case "crash":
		return each((*node).die)
	case "die":
		return each(func(n *node) { n.die(); s.prove(n) })
	case "prove":
		return first(s.prove)
	case "refuse":
		return first(s.refuse)
	case "stop":
		return each(func(n *node) { n.run(func() { s.chk.stopping(n); n.step(election.Stop{}) }) })
	case "pause", "freeze", "sleep":
		s.chk.warps = s.chk.warps || a.Verb == "freeze"
		return first(func(n *node) { n.pause(d, a.Verb) })
	case "slowdisk":
		return first(func(n *node) { n.diskSlow = d })
	case "nodisk", "disk":
		return each(func(n *node) { n.diskBad = a.Verb == "nodisk" })
	case "nosend", "send":
		return each(func(n *node) { n.sendBad = a.Verb == "nosend" })
	case "reject":
		s.reject(a.Args[0])
	case "cut", "split", "mute", "deafen", "heal":
		s.links(a)
	case "net":
		return s.net.set(a.Args)
	case "switchover":
		var to heartbeat.InstanceID
		if len(a.Args) > 1 {
			for _, n := range s.find(a.Args[1]) {
				to = n.id
			}
		}
		return tell(election.Handover{To: to, Reason: "scenario"})
	case "drain":
		_ = first(func(n *node) { n.held = true })
		return tell(election.Drain{})
	case "resume":
		_ = first(func(n *node) { n.claim.at, n.held = 0, false })
		return tell(election.Resume{})
	case "promote":
		return tell(election.Promote{Force: true})
	case "maintenance":
		for _, n := range s.nodes {
			n.held = true // for good: no bound holds after it
		}
		return tell(election.SetMaintenance{For: d})
	case "sick", "well":
		_ = first(func(n *node) { n.claim.at, n.held = 0, a.Verb == "sick" })
		return tell(election.Health{OK: a.Verb == "well"})
	case "calm":
		s.chk.calm()
	case "chaos":
		s.chk.chaos()
	case "expect":
		return s.expect(a)
	}
	return nil
}

// links changes which links are cut.
func (s *sim) links(a Action) {
	defer s.chk.linksMoved()
	set := func(from, to *node, yes bool) {
		if from != to {
			s.cut[from.i][to.i] = yes
		}
	}
	switch a.Verb {
	case "heal":
		if len(a.Args) > 0 {
			s.setLinks(a.Args[0], false)
			break
		}
		for i := range s.cut {
			clear(s.cut[i])
		}
		clear(s.rejected)
	case "mute", "deafen":
		for _, n := range s.find(a.Args[0]) {
			for _, m := range s.nodes {
				if a.Verb == "mute" {
					set(n, m, true)
				} else {
					set(m, n, true)
				}
			}
		}
	case "cut":
		s.setLinks(a.Args[0], true)
	case "split":
		for _, g := range a.Args {
			in := map[*node]bool{}
			for _, n := range s.find(g) {
				in[n] = true
			}
			for _, n := range s.nodes {
				for _, m := range s.nodes {
					if in[n] != in[m] {
						set(n, m, true)
					}
				}
			}
		}
	}
}

// setLinks cuts or heals A>B, A=B, or A alone: from and to all.
func (s *sim) setLinks(text string, cut bool) {
	from, to, oneWay := strings.Cut(text, ">")
	if !oneWay {
		from, to, _ = strings.Cut(text, "=")
	}
	if to == "" {
		to = "all"
	}
	for _, n := range s.find(from) {
		for _, m := range s.find(to) {
			if n == m {
				continue
			}
			s.cut[n.i][m.i] = cut
			if !oneWay {
				s.cut[m.i][n.i] = cut
			}
		}
	}
}

// reject has a firewall refuse a node's connections to another, A>B, and end
// the one there is.
func (s *sim) reject(text string) {
	from, to, _ := strings.Cut(text, ">")
	for _, n := range s.find(from) {
		for _, m := range s.find(to) {
			if n == m {
				continue
			}
			s.rejected[[2]int{n.i, m.i}] = true
			if n.up && n.c.to == m && n.c.open {
				n.run(n.breaks)
			}
		}
	}
}

// prove tells the others that a node is dead, each after a few milliseconds.
// Only the dead are proved dead, unless a rule is to be shown to matter.
func (s *sim) prove(dead *node) {
	if dead.up || dead.boot == 0 {
		return
	}
	s.chk.proved[dead.id] = true
	for _, n := range s.nodes {
		if n != dead && n.up && !s.cut[dead.i][n.i] {
			s.push(item{at: s.now + s.upTo(5*time.Millisecond), kind: itemInput, node: n.i, boot: n.boot,
				input: election.Died{Obituary: heartbeat.Obituary{Instance: dead.id, Secret: dead.secret}, At: n.trueToLocal(dead.diedAt)}})
		}
	}
}

func (s *sim) refuse(dead *node) {
	for _, n := range s.nodes {
		if n != dead && n.up && !dead.up && !s.cut[dead.i][n.i] {
			s.push(item{at: s.now + s.upTo(5*time.Millisecond), kind: itemInput, node: n.i, boot: n.boot,
				input: election.Refused{Peer: dead.id}})
		}
	}
}
