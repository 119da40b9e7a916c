// Package demo shows on one machine what a cluster does when its master is
// killed, frozen, cut off or relieved, and what becomes of the messages that it
// had in hand. It is `interlok-ha demo`.
//
// Start with [Run]. It plays the world outside (world.go: the source and the
// sink of examples/orders), starts three instances as processes of their own
// (instance.go), breaks things (acts.go) and counts (report.go, handover.go).
// The instances are ordinary ones, made by package node, and their work is that
// of examples/orders; the same binary is started again, as [NodeMain].
//
// What it shows is real but for one thing. The cut is made by the instances
// themselves, which drop each other's heartbeats when told to, since a real one
// needs root. All runs on one machine and one clock, so it proves nothing about
// a real network.
//
// It needs Linux, as every keeper does.
package demo
