// Package cachetest is a network in memory for package cache, and a model
// checker on top of it.
//
// [Fabric] carries streams and datagrams between hosts. Inside a
// [testing/synctest] bubble its latencies, deadlines and faults take no real
// time. Faults: cuts (both ways or one way), stalled hosts, killed processes,
// lost power, resets, flipped bits, lost, doubled and reordered datagrams.
//
// [Lab] runs caches on a fabric, plays the election, and keeps the history of
// every record that any master wrote. [Lab.Check] compares every replica with
// the map that its own position in that history gives. [Lab.Calm] ends all
// faults and waits until every replica is complete.
//
// TestModel runs random schedules: -schedules says how many, -seed from which
// seed on. A seed fixes what is done and when; which goroutine of several that
// are ready runs first is the scheduler's choice, so a rare failure may need
// several runs of its seed.
//
// What it does not model: a stopped process whose timers stand still. The
// goroutines of a stalled host run on, but nothing they send or wait for moves.
package cachetest
