// Package demo shows on one machine what a cluster does when its master is
// killed, frozen, cut off or relieved. It is `interlok-ha demo`.
//
// Start with [Run]. It plays the world outside (world.go: a numbered source of
// messages, and a sink that refuses old fencing tokens), starts three instances
// as processes of their own (instance.go), breaks things (acts.go) and counts
// (report.go). The instances are ordinary ones, made by package node; the same
// binary is started again, as [NodeMain] and, for their COMMAND, [WorkMain].
//
// What it shows is real but for two things. The cut is made by the instances
// themselves, which drop each other's packets when told to, since a real one
// needs root. And the state of the messages is not replicated: a new master asks
// the sink what is missing. All runs on one machine and one clock, so it proves
// nothing about a real network.
//
// It needs Linux, as every COMMAND does.
package demo
