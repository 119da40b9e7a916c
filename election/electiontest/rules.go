package electiontest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/interlok-ha/interlok-ha/election"
)

// Lack is a set of the things around the machine that a scenario can do without.
type Lack uint8

// What the machine relies on and cannot do itself.
const (
	LackMemory   Lack = 1 << iota // the disk: each restart is one without memory
	LackKeeper                    // the keeper: the work runs on when the guard ran out
	LackPullSeal                  // a copy that was pulled from takes older frames on
)

// rule names one thing that can be switched off.
type rule struct {
	name string
	off  election.Rules
	lack Lack
}

// rules are those of package election by their names in scenarios, then what
// lies around the machine.
var rules = []rule{
	{name: "listen", off: election.RuleListen},
	{name: "window", off: election.RuleWindow},
	{name: "object", off: election.RuleObject},
	{name: "relay", off: election.RuleRelay},
	{name: "stagger", off: election.RuleStagger},
	{name: "back-off", off: election.RuleBackOff},
	{name: "crossed", off: election.RuleCrossed},
	{name: "guard", off: election.RuleGuard},
	{name: "lease", off: election.RuleLease},
	{name: "stall", off: election.RuleStall},
	{name: "yield", off: election.RuleYield},
	{name: "mute", off: election.RuleMute},
	{name: "deaf", off: election.RuleDeaf},
	{name: "isolation", off: election.RuleIsolation},
	{name: "sequence", off: election.RuleSequence},
	{name: "promise", off: election.RulePromise},
	{name: "epoch", off: election.RuleEpoch},
	{name: "embargo", off: election.RuleEmbargo},
	{name: "save-first", off: election.RuleSaveFirst},
	{name: "confirmed", off: election.RuleConfirmed},
	{name: "raise", off: election.RuleRaise},
	{name: "re-epoch", off: election.RuleReEpoch},
	{name: "stop-first", off: election.RuleStopFirst},
	{name: "ack-at-once", off: election.RuleAckAtOnce},
	{name: "heir", off: election.RuleHeir},
	{name: "opening", off: election.RuleOpening},
	{name: "obituary", off: election.RuleObituary},
	{name: "goodbye", off: election.RuleGoodbye},
	{name: "clone", off: election.RuleClone},
	{name: "total", off: election.RuleTotal},
	{name: "failed-claim", off: election.RuleFailedClaim},
	{name: "sure", off: election.RuleSure},
	{name: "behind", off: election.RuleBehind},
	{name: "seal", off: election.RuleSeal},
	{name: "refusal", off: election.RuleRefusal},
	{name: "object-refused", off: election.RuleObjectRefused},
	{name: "memory", lack: LackMemory},
	{name: "keeper", lack: LackKeeper},
	{name: "pull-seal", lack: LackPullSeal},
}

func findRule(name string) (rule, error) {
	for _, r := range rules {
		if r.name == name {
			return r, nil
		}
	}
	return rule{}, fmt.Errorf("no rule is called %q", name)
}

// Without returns a copy of the scenario in which the named rule does not hold.
func (s *Scenario) Without(name string) (*Scenario, error) {
	r, err := findRule(name)
	if err != nil {
		return nil, fmt.Errorf("electiontest: %w", err)
	}
	c := *s
	c.Off |= r.off
	c.Lacks |= r.lack
	return &c, nil
}

// switchOff reads the names, or the numbers, of rules.
func (s *Scenario) switchOff(names []string) error {
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 0, 64); err == nil {
			s.Off |= election.Rules(n)
			continue
		}
		r, err := findRule(name)
		if err != nil {
			return err
		}
		s.Off |= r.off
		s.Lacks |= r.lack
	}
	return nil
}

// offNames is what switchOff reads.
func (s *Scenario) offNames() string {
	var names []string
	for _, r := range rules {
		if s.Off&r.off != 0 || s.Lacks&r.lack != 0 {
			names = append(names, r.name)
		}
	}
	return strings.Join(names, " ")
}
