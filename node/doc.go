// Package node is one assembled instance: sockets, election, workload and API,
// made from the settings. It is what `interlok-ha run` starts.
//
// Start with [New] and [Node.Run].
//
// It holds no rules of its own: the protocol is election's, the settings are
// config's, the end of a command is workload's.
package node
