package position

// Rules is a set of the rules of PROTOCOL.md §11.5. Each can be switched off in
// the simulator, and there each must be missed.
type Rules uint64

// The rules, by their names in PROTOCOL.md §11.5.
const (
	RuleMute       Rules = 1 << iota // who may not become master sends no slave ping
	RuleCollision                    // with a place held twice, or none, in sight: one monitor period and a ping more
	RuleIDs                          // of two masters of ours the one with the higher id reigns
	RuleReturn                       // who gave way to a Java master that then fell silent reigns again at once
	RuleListen                       // nobody is promoted who has not listened for one timeout
	RuleSettle                       // nor before the others heard that it stands first
	RuleGuard                        // a master stops by its own clock
	RuleStall                        // who was late listens anew
	RuleLast                         // who gives the role up goes to the end of the line
	RuleResigned                     // a master that pings as a slave is none any more
	RuleConfigured                   // a configured place is left to who it was configured for
	RuleOther                        // when one of two masters resigns, the other one is followed
	RuleHush                         // who gave way to one of ours is not heard until the others have heard that one
)
