// Package lab runs real interlok-ha processes for tests: it builds the binary
// once, starts instances on the loopback interface, reads their logs and their
// status, and keeps a journal of what their commands did and when. For those that
// trade, [OpenMarket] is the world outside.
//
// Start with [Main] in a TestMain, then [New] and [Cluster.Start].
//
// Everything that is started dies with the test: nodes by process group and
// parent-death signal, their commands by their keepers. A test that leaves a
// process of its cluster behind fails.
//
// It works on Linux only.
package lab
