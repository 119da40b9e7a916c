// Package workload runs the user's COMMAND, and only while it is told to.
//
// Start with [Start]. Between the node (this process) and COMMAND stands a
// keeper: a second, tiny process of the same binary, whose whole code is
// [KeeperMain]. The node feeds it, over a pipe, the time until which COMMAND
// may work ([Process.Feed]); the keeper kills COMMAND and every descendant of
// it (its own session, a double fork and an ignored SIGTERM change nothing)
// when that time passes, when the pipe closes because the node died, when it
// is told to, and when COMMAND's own process has ended.
//
//	node ── frames: until, stop, kill ──▶ keeper ── fork ──▶ COMMAND ──▶ …
//	     ◀── echo, started, ended ──────         ◀─ orphans ───────────┘
//
// The keeper is a child subreaper: what loses its parent becomes the keeper's
// child, so "wait says there is no child" proves that the tree is dead. When
// the keeper itself is killed, COMMAND's own process dies by its parent-death
// signal and the node, if it called [BecomeSubreaper], kills the rest.
//
// # The obituary
//
// With [Config.Obituary] the keeper also has a copy of the node's listening
// socket, a pidfd of the node, and a secret whose hash the node's peers know.
// Once no descendant is left and the node's process is gone (not merely its
// pipe closed) it accepts in the node's place and tells each that dials 60
// bytes, big endian:
//
//	0        4          20       52    60
//	| "ILHO" | instance | secret | age |
//
// then ends its sending side and reads until the other has ended too, or for
// 200 ms. The age is in nanoseconds since the node's process was seen to be
// gone. Whoever knows the secret knows that all is dead and need not wait for
// silence to prove it. The keeper leaves [Obituary.Linger] after it began to
// tell, a second after the last that it told, when something writes to one of
// [Config.HoldFiles], or a second after it was asked to end by a signal.
//
// As long as the node lives, frozen or not, nothing is accepted and nothing
// told. When the keeper was killed before, or with the node, nothing is ever
// told: connections are refused, which proves nothing about descendants.
//
// A node that runs no COMMAND has such a keeper too, by [StartBare]: it sleeps
// until the node's death.
//
// [Supervisor] says what follows an exit (restart, resign, leave), [Health]
// runs the health command.
//
// # Frames
//
// Both pipes carry frames of 32 bytes, big endian. A pipe takes 32 bytes whole
// or not at all, so a writer never blocks and a reader never sees half a one.
//
//	0         8         16     17         24        32
//	| instance | epoch   | kind | seq      | value   |
//
//	instance  the first 8 bytes of the instance id; others are dropped
//	epoch     of the reign; a smaller one than the current is dropped
//	kind      to the keeper:   0 feed     value = until
//	                           1 stop     value = when the grace ends
//	                           2 kill
//	          from the keeper: 0 echo of a feed, unchanged
//	                           16 started value = process id
//	                           17 failed  value = errno of the start
//	                           18 ended   value = cause << 32 | wait status
//	seq       counts the node's frames
//
// Times are nanoseconds of CLOCK_BOOTTIME, absolute: a duration that is read
// late, after the host slept or the keeper was frozen, would lengthen the
// reign it was meant to bound.
//
// # What is not promised
//
// If node and keeper are both killed, or both frozen, or the whole machine is,
// a descendant in its own session lives on (or runs until the keeper is
// scheduled after the thaw): only the fencing token helps there. What COMMAND
// starts by asking another process (docker run, systemctl, ssh, at) is no
// descendant. A process in uninterruptible sleep dies when the kernel lets it.
// COMMAND may not gain privileges by set-user-id programs (unless
// [Config.NewPrivileges] is set), since that clears the parent-death signal.
//
// The obituary speaks of the node's process and COMMAND's descendants. What
// else the node started (a health command) had no leave to work and is not
// waited for. Whoever may read the memory of node or keeper can read the secret.
//
// Everything is there on Linux 5.10 or later. Elsewhere the package compiles
// and [Start], [KeeperMain] and [NewHealth] say that they cannot work.
package workload
