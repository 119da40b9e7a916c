// Package franz makes programs that use franz-go tell a profiler what they do
// with records: Workflow is a step around what handles a record, Produce one
// around records that are produced and waited for, NewHook one around all
// records that a client produces. Its module is its own, so that only who uses
// franz-go depends on it.
//
// # What an event means here
//
// A record that was polled is a message. Its workflow starts before the handler.
// It ends when the handler has returned and each record that was produced with
// the handler's context is settled: acknowledged by the broker, or failed. So
// a handler may produce without waiting, and the workflow is not told as done
// before the brokers have what it made; this needs the hook in the client.
// The first error, the handler's or that of a record, makes it Failed. A
// handler that panics or calls runtime.Goexit ends it at once; both go on.
//
// Records are not acknowledged one by one, so the end does not wait for the
// commit. Commit after the end: with records produced and not waited for, that
// is after the client's Flush. A crash between the end and the commit brings
// the record again: with the same id, so that Seen tells that it was done.
//
// A produced record's step starts when the client takes it, before anything is
// sent, and ends just before its promise is called. Failed says that no broker
// acknowledged it: it may have arrived all the same, as the client's own
// documentation explains.
//
// # Ids
//
// A record's id is topic/partition/offset. It is the same at each delivery. It
// is not the same in a mirrored cluster, nor for a topic that was removed and
// made anew; Workflow takes any function for it.
//
// # Fence
//
// Produce waits for the fence if its step has one. A fence that refuses is its
// error, and then nothing was produced; so is a context without a message,
// since a record has no id before it is produced. The records are produced with
// the context of the fence, which is how long the master is sure to be master;
// a batch that is already on its way cannot be called back. A client has no way
// to refuse a record in a hook, so NewHook refuses a fenced step. Use for a
// fenced producer a client without the hook, or each record is two steps.
package franz
