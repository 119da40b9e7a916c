// Package node is one assembled instance: sockets, election, cache, hooks,
// work and API, made from the settings. It is what `interlok-ha run` starts.
//
// A Go service starts with [Run]: its work is called each time this instance
// becomes master, with a context that ends with mastership and a [Master] that
// tells what the predecessor left, has the fencing token and makes the hooks.
// [New] and [Node.Run] are the same in two steps, and also run a command.
//
// It holds no rules of its own: the protocol is election's, the settings are
// config's, the end of a command is workload's, what is known of messages is
// mirror's.
//
// What it does not promise: that work ends in time. A goroutine cannot be ended
// from outside; work that does not return when its context ends makes the
// process end ([Config.Abort]), and a process that was frozen between its look
// at the clock and its write acts late. Only a receiver that refuses an older
// token stops that.
package node
