//go:build linux

// Package main measures how long it takes until another instance acts as
// master once the one that did is killed, stopped, frozen, cut off, or lost
// with its host; and for how long two acted at once. Beside interlok-ha stand
// keepalived, Redis Sentinel, hashicorp/raft and etcd's election.
//
// Start with `make bench-failover`, as root, or
//
//	go run . -runs 20 -out ../../docs/results
//
// Everything runs in network namespaces that it makes itself, three nodes on a
// bridge for each trial, several trials at once; most of the time all wait.
// What is not installed is named in the table, and left out.
//
// All are measured alike. Whoever believes to be master writes the time
// (CLOCK_BOOTTIME) every 5 ms; a take-over lasts from just before the fault to
// the first line of another node. So what a master starts in order to act
// counts as well: a process, for interlok-ha. It is a module of its own, so
// that nobody who uses interlok-ha downloads its peers.
package main
