// Package cloudevents makes programs that use the CloudEvents SDK tell a
// profiler what they do with events: Receiver and Responder are steps around
// what receives events, Client one around events that are sent. Its module is
// its own, so that only who uses CloudEvents depends on it. "Event" means a
// CloudEvents event here, as there.
//
// # What a step means here
//
// An event that is received is a message. Its workflow starts before the
// function and ends when the function returned. A nil result and an ACK, however
// wrapped, are Completed; a NACK and any other error are Failed. A panic is
// Panicked and goes on to the SDK's client, which makes a result of it.
//
// The result goes to the transport after that, and so does the event that a
// responder returns: the workflow has ended, and nobody knows yet whether the
// transport took them. A message that is not acknowledged comes again with the
// same id, and Seen tells that it was done: one that only answers must not be
// skipped then. What must not be lost is better sent by the function itself,
// with a Client whose step is a producer, before it returns.
//
// An event that is sent is a step, mostly a producer's, of the message in the
// context. It ends when Send or Request returned. Failed says that no ACK came;
// the event may have arrived all the same. Many protocols ACK what is only
// buffered: see the protocol's own documentation.
//
// # Ids
//
// An event's id is its source, a bar (|) and its id, since only both together
// are unique. The receiving functions take any function for it. An event that
// is sent keeps its own id, which is the producer's to choose: one that is made
// from the id in the context is the same at each repeat, so that a sink can
// take each once. Outside of any workflow it names the message.
//
// # Fence
//
// With a fenced step an event is sent only after the fence agreed; else the
// result is the fence's error. The event is sent with the context of the fence,
// which is how long the master is sure to be master.
package cloudevents
