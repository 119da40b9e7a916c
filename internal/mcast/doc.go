// Package mcast is the sockets of the heartbeats: one that hears a multicast
// group, and one that sends everything and hears what is sent to this instance
// alone.
//
// Start with [Open], then [Conn.Run] to receive and [Conn.Multicast] and
// [Conn.Unicast] to send. It is the only package that knows socket options.
//
// Why not net.ListenMulticastUDP: it binds to all addresses, so it hears every
// group that any process of the host joined on this port, and it switches
// loopback off, so that two instances on one host never hear each other.
//
// The group socket is bound to group:port with SO_REUSEADDR: every instance of
// a host gets its own copy of each packet. The unicast socket shares its
// address with nobody: one instance of a host has the port, the others get one
// from the kernel. As it sends the multicast packets too, the source address of
// any packet is where its sender can be reached.
//
// What it does not promise: delivery, order, or that a source address is true.
// On systems other than Linux the filters are the best that the system has.
package mcast
