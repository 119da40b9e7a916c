// Package positiontest is the simulator of the 3.3 design: instances of package
// position and Java instances in one cluster, a network that delays, loses and
// cuts, processes that die, freeze and come back. Every ping travels as its 70
// bytes.
//
// The Java instances (java.go) are modelled from the behaviour of the original,
// with a reader and a writer of the bytes of their own, and share no line with
// ours: an error in one is seen by the other.
//
// Start with [Scenario] and [Run]; [Chaos] makes scenarios from a seed. The same
// scenario gives the same run. What is checked stands in check.go and in
// PROTOCOL.md §11.6.
//
// What it does not model: TCP but for slow pings of a Java instance, and jumps
// of the Java instances' wall clock.
package positiontest
