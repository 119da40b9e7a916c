// Package httphook makes net/http servers and clients tell a profiler what
// they do: Handler is a step around an http.Handler, Transport one around an
// http.RoundTripper.
//
// # What an event means here
//
// A request that is served is a message. Its workflow starts before the handler
// and ends when the handler returned. The response is then with the server or
// the kernel; nobody knows whether the client has read it. A client that did
// not will ask again, with the same id if it is well made: profiler.Dedupe, or
// Seen, tells that the work was done.
//
// A status of 500 and more is Failed, and so is a response that the server could
// not write; anything else is Completed. A panic is Panicked, also http.ErrAbortHandler, and goes on to the server. A
// connection that the handler hijacked, or a stream that it still feeds from
// another goroutine, is no longer watched.
//
// A request that is sent is a step, mostly a producer's, of the message in its
// context; outside of any workflow its header Message-Id names the message. It ends with the response's headers: then the server has decided.
// An error of the transport is Failed, and so is a status of 400 and more. The
// body is the caller's and not part of the step. Each redirect is a step.
//
// # Ids
//
// Handler takes the message's id from the header Message-Id unless it is told
// another way. Transport sets this header to the id in the request's context
// where it is not set. A server that takes each id once makes a repeat
// harmless; when one message is published with several requests, set the header
// to something that differs for each.
//
// # Fence
//
// With a fenced step the request is not sent until the fence agreed. A fence
// that refuses is the error of RoundTrip (inside the client's *url.Error), and
// then the request was not sent; so is a request that belongs to no message.
// Until the headers are there the request also ends with the fence's context,
// which is how long the master is sure to be master.
package httphook
