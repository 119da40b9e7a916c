// Package broadcast sends heartbeats: to the multicast group, and by unicast to
// configured peers where there is no multicast.
//
// Start with [New], then [Service.Send]. A Service has no timer and no state of
// the election; it sends what it is handed. [Service.Run] only keeps the
// addresses of peers that were given by name up to date.
//
// That a packet was sent means that the kernel took it, not that anybody heard
// it: who hears us shows in the heard lists of the packets we receive.
package broadcast
