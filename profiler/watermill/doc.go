// Package watermill makes Watermill's routers and publishers tell a profiler
// what they do: Middleware is a step around a handler, Publisher one around
// what is published. Its module is its own, so that only who uses Watermill
// depends on it.
//
// # What an event means here
//
// A message that a handler gets is a message. Its workflow starts before the
// handler. The router publishes what the handler returned, and acks, only after
// all middleware has returned: a workflow that ended with the handler would be
// told as done before it was published. So it ends
//
//   - Completed when the message was acked,
//   - Failed when it was nacked after the handler, for example because what it
//     returned could not be published,
//   - Failed at once when the handler returned an error: nothing will be
//     published,
//   - Panicked or Exited at once when the handler panicked or called
//     runtime.Goexit; both go on to the router.
//
// It waits for the ack and nack themselves, and not for the end of the message's
// context: gochannel delivers again with the same context after a nack, a
// preserved context never ends, and a router that is being closed ends it
// before the last message is published. A goroutine waits for each message
// between its handler's end and its ack, so the end is told a moment after the
// ack: a program that stops waits until the profiler's Stats show none open, or
// its last messages may be told as in flight. A message that is taken from a
// subscriber without a router and never acked stays in flight, and so does the
// goroutine.
//
// An ack says that the subscriber was told. A broker that did not hear it
// delivers again: with the same id, Seen tells that the work was done.
//
// Publisher is a step, mostly a producer's, around each call of Publish, once
// per message id among what is published. It ends when Publish returned.
//
// # Order of middleware
//
// Add Middleware first, so that it is the outermost. Inside of Retry each
// attempt is a workflow of its own, of which all but the last failed; outside
// of it the steps within tell the attempts. Outside of PoisonQueue a poisoned
// message is Completed, inside it is Failed.
//
// # Ids
//
// A message's id is the handler's name, a slash and the UUID. The UUID alone is
// not enough: a handler may return the message that it got, and the next handler
// then works on the same UUID before this one is done. A message without a UUID
// gets an id from the profiler, another at each delivery. Middleware takes any
// function for it.
//
// A message that a handler returns with no context of its own gets that of the
// workflow, so that Publisher knows what it belongs to. Outside of any workflow
// its UUID is the id.
//
// # Fence
//
// With a fenced step Publisher publishes only after the fence agreed; else
// Publish returns the fence's error, and the router nacks. While it publishes,
// the messages have the context of the fence, which ends with the step: do not
// fence a publisher that hands contexts on to consumers, as gochannel with
// PreserveContext does.
package watermill
