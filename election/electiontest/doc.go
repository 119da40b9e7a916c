// Package electiontest is the simulator of the election: any number of
// machines, a network that loses, delays, doubles, reorders and cuts, clocks
// that drift and stop, processes that freeze, crash and come back, with their
// memory or without. Every packet goes through package heartbeat as bytes.
// After every step the invariants of PROTOCOL.md §7 are checked.
//
// A [Scenario] is a text: settings, then what happens when. [Chaos] writes
// such texts from a seed. The same scenario gives the same run to the last
// bit ([Report.Hash]), so a failure is replayed by its text.
//
// Start with [Parse] and [Run]. testdata holds stories that once went wrong or
// show what is promised; testdata/ablations one for each rule, which goes wrong
// without it. A failed test prints its scenario; -run TestReplay -replay FILE
// shows what happened in it.
//
// With the setting "cache" each node also has a copy of a log without content
// (cache.go), so that what is acknowledged can be followed through changes of
// master (records.go).
//
// What it does not model: kernel buffers that overflow, disks that stall for
// seconds, and of the cache all but where its copies end.
package electiontest
