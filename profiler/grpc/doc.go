// Package grpc makes gRPC servers and clients tell a profiler what they do. It
// is four interceptors: UnaryServer and StreamServer are steps around what
// serves a call, UnaryClient and StreamClient around calls that are made. Its
// module is its own, so that only who uses gRPC depends on it.
//
// # What an event means here
//
// A call that is served is a message. Its workflow starts before the handler
// and ends when the handler returned; with UnaryServer the request is decoded
// then. The status goes out after that: nobody knows whether the client has
// heard it. A client that did not will call again, with the same id if it is
// well made: Seen tells that the work was done. An error is Failed, whatever its
// code. A stream is one message, however many it carries: make a step of your
// own of each that counts.
//
// A call that is made is a step, mostly a producer's, of the message in its
// context. That of a unary call ends when the call returned. That of a stream
// ends when gRPC says that the stream has: RecvMsg returned an error (io.EOF is
// Completed) or the one answer of a method that does not stream them; opening
// it failed; or the context of the call ended. As gRPC's own resources, the
// step stays open if none of these ever comes.
//
// Failed says that no good status came. The server may have done the work all
// the same.
//
// # Ids
//
// The id of a call that is served is what its metadata says as message-id,
// unless the interceptor is told another way. A call that is made carries the id
// of the message in its context, unless its metadata has one. Outside of any
// workflow the metadata's id names the message. A server that takes each id once
// makes a repeat harmless; when one message is published with several calls,
// set an id that differs for each.
//
// # Fence
//
// With a fenced step a call is made only after the fence agreed; else the
// fence's error is returned, as it is: it has no gRPC status. The call, and a
// stream as long as it lives, ends with the context of the fence, which is how
// long the master is sure to be master.
package grpc
