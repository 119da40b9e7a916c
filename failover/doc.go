// Package failover runs the election of one instance: a [Manager] is the one
// goroutine that owns an election.Machine, tells it what happens, and performs
// what it says: save, send, tell.
//
// Start with [New] and [Manager.Run]. What runs only on the master is a [Work].
// What must survive a crash goes through a [Store]; [OpenStore] keeps it in a
// directory.
//
// What it does not do: it opens no sockets and starts no processes; those are
// handed to it. It makes no decision of the protocol; those are the machine's.
package failover
