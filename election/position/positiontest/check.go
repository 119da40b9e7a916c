package positiontest

import (
	"slices"
	"time"
)

// checker holds a run against what the 3.3 design can promise, PROTOCOL.md
// §11.6. It looks at the instances from outside: who works, what they ping.
//
//	one       no two work at the same time, but in a partition or with loss and
//	          for one settling time after; a frozen instance of ours is no excuse
//	exit      no Java instance is made to exit by one of ours, likewise
//	heal      after a heal one works within the instance timeout; if several of
//	          ours did, one of them
//	third     nobody of ours is promoted while another of ours reigns that it
//	          has heard as master within the timeout
//	settle    some time after the last change one works, and the slaves stand
//	          in the places 1…n
//	takeover  position 1 takes over within timeout + interval after a crash; a
//	          Java instance may need one monitor period more
//	handover  a master that is asked to hand over is followed by another: by one
//	          of ours within an interval of the end of its work
//	wire      every ping can be read
type checker struct {
	s         *sim
	disturbed bool
	calmAt    time.Duration // since when the network is whole
	acts      int           // counts what was done to the cluster
	gen       int           // counts that, and the exits of Java instances
	stirAt    time.Duration
	healing   int // number of the heal that is being looked at
}

func (c *checker) init(s *sim) { *c = checker{s: s, calmAt: -time.Hour} }

// java is what a Java instance may be late by.
func (c *checker) java() time.Duration { return javaMonitor + c.s.sc.Interval }

// settling is the longest that anything takes to come to rest.
func (c *checker) settling() time.Duration {
	return 3*c.s.sc.Timeout + 6*c.java() + javaListen
}

func (c *checker) workers() (n int) {
	for _, x := range c.s.nodes {
		if x.working {
			n++
		}
	}
	return n
}

// clean reports whether the network has been whole for long enough.
func (c *checker) clean() bool {
	return !c.disturbed && c.s.now > c.calmAt+c.s.sc.Timeout+2*c.java()
}

// stir notes that something was done to the cluster.
func (c *checker) stir() {
	c.acts++
	c.rest()
}

// rest: some time after the last change all must have settled.
func (c *checker) rest() {
	c.gen++
	c.stirAt = c.s.now
	gen := c.gen
	c.s.at(c.s.now+c.settling(), func() {
		if c.gen == gen && !c.disturbed {
			c.settled()
		}
	})
}

func (c *checker) disturb(on bool) {
	if c.disturbed && !on {
		c.calmAt = c.s.now
	}
	c.disturbed = on
	c.stir()
}

// heal: the network is whole again.
func (c *checker) heal() {
	if c.disturbed {
		return
	}
	reigning, java := map[*node]bool{}, false
	for _, n := range c.s.nodes {
		java = java || n.spec.Java
		// One that ends may be the last that could reign.
		if n.up && n.working && !n.frozen && !n.ending && !n.draining {
			reigning[n] = true
		}
	}
	if len(reigning) == 0 {
		return
	}
	c.healing++
	turn, acts, at := c.healing, c.acts, c.s.now
	c.s.at(c.s.now+c.s.sc.Timeout+c.s.sc.Delay, func() {
		if turn != c.healing || acts != c.acts {
			return
		}
		c.s.rep.Checked["heal"]++
		if n := c.workers(); n != 1 {
			c.s.violate("heal", "%d at work one timeout after the heal at %v", n, at)
			return
		}
		for _, n := range c.s.nodes {
			if n.working && !reigning[n] && len(reigning) > 1 && !java {
				c.s.violate("heal", "%s took over from the %d that were at work at the heal at %v", n.spec.Name, len(reigning), at)
			}
		}
	})
}

// promoted: n was, by its own decision.
func (c *checker) promoted(n *node) {
	if n.spec.Java {
		return
	}
	recent := c.s.now - c.s.sc.Timeout*99/100 // its clock may be fast
	for _, x := range c.s.nodes {
		if x == n || x.spec.Java || !x.up || !x.reigns {
			continue
		}
		if heard := n.masters[x.uuid()]; heard > max(recent, x.since) {
			c.s.violate("third", "%s is promoted, and has heard %s at %v, which reigns", n.spec.Name, x.spec.Name, heard)
		}
	}
}

// look runs after each event.
func (c *checker) look() {
	if c.workers() > 1 && c.clean() && !c.hasty() {
		c.s.violate("one", "two at work")
	}
}

// hasty reports whether a Java instance became master less than a timeout after
// its start, while one of ours was frozen that had never met a Java instance
// and so did not reckon with that.
func (c *checker) hasty() bool {
	young, frozen := false, false
	for _, n := range c.s.nodes {
		young = young || n.working && n.spec.Java && n.startedAt+c.s.sc.Timeout > c.s.now-c.s.sc.Timeout
		frozen = frozen || n.working && n.frozen && !n.metJava
	}
	return young && frozen
}

// exited: a Java instance ended because of a ping of cause.
func (c *checker) exited(n, cause *node) {
	if cause == nil || cause.spec.Java {
		c.healing++ // Java instances among themselves: nothing to promise
		return
	}
	if c.clean() {
		c.s.violate("exit", "%s makes %s exit", cause.spec.Name, n.spec.Name)
	}
}

// ordered: what is to be expected of a hand-over that begins now.
func (c *checker) ordered(n *node) func() {
	s := c.s
	if c.disturbed || s.now < c.stirAt+c.settling() || c.workers() != 1 {
		return func() {}
	}
	first := c.first(n)
	if first == nil {
		return func() {}
	}
	by := stopWithin + s.sc.Interval
	if first.spec.Java {
		by = stopWithin + s.sc.Timeout + javaMonitor
	}
	return func() {
		gen := c.gen
		s.at(s.now+by+2*s.sc.Delay, func() {
			if c.gen == gen {
				s.rep.Checked["handover"]++
			}
			if c.gen == gen && (!first.working || c.workers() != 1) {
				s.violate("handover", "%s does not work %v after the order", first.spec.Name, by)
			}
		})
	}
}

// first is the one that stands at place 1, if it is only one.
func (c *checker) first(but *node) (first *node) {
	for _, x := range c.s.nodes {
		if !x.up || x == but || x.place() != 1 {
			continue
		}
		if first != nil {
			return nil
		}
		first = x
	}
	return first
}

// candidates are those that must bring forth a master.
func (c *checker) candidates() (n int) {
	for _, x := range c.s.nodes {
		if x.up && !x.frozen && (x.spec.Java || !x.spec.Witness && !x.disk.Drained) {
			n++
		}
	}
	return n
}

// configured reports whether a place of ours is configured that another may
// claim for ever: a Java instance, or one of ours with the same.
func (c *checker) configured() bool {
	java, ours, twice := false, map[int]bool{}, false
	for _, x := range c.s.nodes {
		java = java || x.spec.Java
		if p := x.spec.Position; p > 0 && !x.spec.Java {
			twice = twice || ours[p]
			ours[p] = true
		}
	}
	return java && len(ours) > 0 || twice
}

func (c *checker) settled() {
	c.s.rep.Checked["settle"]++
	want := min(1, c.candidates())
	if n := c.workers(); n != want {
		c.s.violate("settle", "%d at work, want %d", n, want)
		return
	}
	if c.configured() {
		return
	}
	var places []int
	for _, x := range c.s.nodes {
		if x.up && !x.frozen && !x.working && (x.spec.Java || !x.spec.Witness && !x.disk.Drained) {
			places = append(places, x.place())
		}
	}
	slices.Sort(places)
	for i, p := range places {
		if p != i+1 {
			c.s.violate("settle", "the slaves stand at %v", places)
			return
		}
	}
}

// killed: what is to be expected of the death of an instance, asked before it.
func (c *checker) killed(n *node) func() {
	s := c.s
	if !n.working || c.workers() != 1 || c.disturbed || s.now < c.stirAt+c.settling() {
		return func() {}
	}
	first := c.first(n)
	if first == nil {
		return func() {}
	}
	by := s.sc.Timeout + s.sc.Interval
	if first.spec.Java {
		by = s.sc.Timeout + javaMonitor + s.sc.Delay
	}
	return func() {
		gen, at := c.gen, s.now
		s.at(s.now+by+20*time.Millisecond, func() {
			if c.gen != gen {
				return
			}
			if !first.working || c.workers() != 1 {
				s.violate("takeover", "%s does not work %v after the death of the master at %v", first.spec.Name, by, at)
			}
			s.rep.Checked["takeover"]++
		})
	}
}
