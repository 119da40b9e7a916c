// Package election is the protocol of PROTOCOL.md as a pure state machine: who
// is master, and for how long yet. It has no clock, goroutine, socket, disk,
// log or randomness of its own. Time is an argument, everything that happens is
// an [Input], everything to do comes back in an [Output]; so it can be run
// through years of faults in minutes (package electiontest).
//
// Start with [New], [Machine.Step] and [Output]. Package failover drives it
// with real sockets and a real clock.
//
// The files: machine.go is the step; slave.go, claim.go, reign.go, handover.go
// are the life of one instance; follow.go, conflict.go, peers.go are what it
// makes of the others; quorum.go has the votes, order.go the two orders,
// packet.go what it sends; log.go is what it knows of the cache, refusal.go
// what it makes of refused connections. rules.go lists what the simulator can switch off.
//
// What it does not promise stands in PROTOCOL.md §9. Above all: without a
// quorum a partition has a master on each side, and no timer stops a process
// that was frozen between looking at its guard and acting on it.
package election
