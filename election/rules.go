package election

// Rules is a set of the protocol's rules. Each can be switched off in the
// simulator, and there each must be missed: a rule whose removal nothing
// notices has not earned its place (PROTOCOL.md §8).
type Rules uint64

// The rules, by their numbers in PROTOCOL.md §8.
const (
	RuleListen        Rules = 1 << iota // no claim before one lease of listening
	RuleWindow                          // a claim waits for objections
	RuleObject                          // masters and followers object to a claim
	RuleRelay                           // sightings of the master are passed on
	RuleStagger                         // slaves wait their turn
	RuleBackOff                         // a claim heard holds back one's own
	RuleCrossed                         // of two claims the one that should not withdraws
	RuleGuard                           // a master stops by its own clock
	RuleLease                           // and does so before the slaves' clocks run out
	RuleStall                           // who was late does not trust its timers
	RuleYield                           // of two masters the lower token stops
	RuleMute                            // a master that is not heard stops
	RuleDeaf                            // unless it is the other that is deaf
	RuleIsolation                       // a master alone after having had many stops
	RuleSequence                        // an old packet tells nothing
	RulePromise                         // a voter keeps its promise to one instance
	RuleEpoch                           // a voter grants greater epochs only
	RuleEmbargo                         // a restarted voter waits
	RuleSaveFirst                       // a vote or claim is stored before it is told
	RuleConfirmed                       // votes go to those who hear the voter
	RuleRaise                           // a refused claimer raises its epoch
	RuleReEpoch                         // a master below a known reign raises its own
	RuleStopFirst                       // a promise is freed only once the work has stopped
	RuleAckAtOnce                       // votes are not left for the next heartbeat
	RuleHeir                            // the named heir goes first, the others wait
	RuleOpening                         // the winner tells so before it opens
	RuleObituary                        // a proof of death frees promises and shortens waiting
	RuleGoodbye                         // who leaves says so
	RuleClone                           // two live instances of one name do not vote
	RuleTotal                           // more votes than the quorum knows: nobody votes
	RuleFailedClaim                     // a second failed claim holds nobody back
	RuleSure                            // who may lack acknowledged records waits
	RuleBehind                          // a new master pulls what a peer holds before it opens
	RuleSeal                            // the log ends, and the heir holds it, before the resignation
	RuleRefusal                         // a refused connection is a suspicion
	RuleObjectRefused                   // who knows better objects to it at once
)
