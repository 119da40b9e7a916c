// Package tcp carries pings of the 3.3 design over TCP, as its Java instances
// do: one connection for each ping and peer, opened by the sender, which writes
// the ping and closes.
//
// Start with [Open], then [Conn.Run] to receive, [Conn.Multicast] to send to all
// peers, and [Conn.Learn] for peers that were not configured. The methods have
// the names of internal/mcast's, since the same services use either.
//
// Sending never waits: each peer is dialled beside the caller, for a short time,
// and a newer ping replaces one that has not left. So a dead peer delays nobody.
// A ping that could not leave in that time is dropped: it would be old news.
// Receiving is bounded too: a connection that says nothing is closed after a
// second, and of too many the oldest goes.
//
// What it does not promise: delivery, or that who writes a ping is who it says.
package tcp
