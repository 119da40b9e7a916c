// Package cache is FAILOVER_CACHE: named caches in memory, written by one
// instance, the master, and held by all.
//
// Start with [Open], [Cache.Run] and [Cache.Named]. One instance calls
// [Cache.Promote] and may then write; the others follow it (by themselves with
// [Config.AutoFollow], else as [Cache.Follow] says) and refuse writes with
// [ErrNotMaster].
//
// Every put, update, removal, eviction and expiry is a record of one log,
// numbered without gaps across reigns ([Pos]). A slave applies the records in
// order. A slave that was away asks for what it lacks; if the master's ring no
// longer holds it, it gets a snapshot while the log goes on. What a deposed
// master wrote and nobody else had is kept as orphans, beside the entries,
// never over them.
//
// Membership is gossip (memberlist); data goes over one long-lived TCP stream
// per slave, on the same port. PROTOCOL.md §10 draws the bytes.
//
// What is not promised: nothing survives the death of all instances. In
// asynchronous mode, what the slaves had not received when the master died is
// lost. In synchronous mode a put that returned nil is held by every slave
// that was in step; PROTOCOL.md §10 says when that is not enough.
package cache
