// Package listen receives heartbeats and hands on those that count.
//
// Start with [New], then [Service.Run] and [Service.Packets]. A packet is
// dropped, and counted by its cause, if it is malformed, of another cluster,
// not signed as it should be, our own, or not newer than the last one of its
// instance. [Service.Stats] tells how many, [Causes] lists the causes.
//
// A packet handed on is well formed, and signed if the cluster has a key. It is
// not proof of more: without a key anyone can forge it, and even with one it may
// be a replay from an instance that this process has not heard yet. Whether a
// sender is alive and hears us shows in its heard list, which the election reads.
//
// Sequence numbers are compared across both sockets, so of two packets that
// overtook each other only the later one counts. Each packet carries its
// sender's whole state; nothing is lost with the earlier one but time.
package listen
