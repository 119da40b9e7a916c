// Package position is the 3.3 design as a pure state machine: slaves stand in a
// line, the first of them becomes master when the master falls silent, the
// others move up. It has the methods of election.Machine, the same inputs and
// outputs, and like it no clock, goroutine, socket, log or randomness of its
// own (PROTOCOL.md §11).
//
// Start with [Config], [New] and [Machine.Step].
//
// It stands in one cluster with Java instances of that design: it sees and
// says no more than their 70-byte ping does. What differs is what the others
// cannot see: it stops its work before the others may take over, and where
// they end their process, it becomes a slave.
//
// The files: machine.go is the step; line.go the places in the line; slave.go
// and master.go are the two lives of an instance; peers.go is what it hears;
// rules.go lists what the simulator can switch off.
//
// What it does not promise: the ping has no epoch and no signature, so a store
// cannot tell an old master from a new one, anybody can forge pings, and a
// partition has a master on each side.
package position
