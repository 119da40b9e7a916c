// Package admin is the door to a running instance: an HTTP API over a Unix
// socket, and the client that the command line uses to knock on it.
//
// [Server] serves a [Node], the interface that the assembled instance fulfils.
// [Client] speaks to one socket; [Find] says which sockets of this machine
// have somebody behind them. The types [Status] and [Event] are the JSON that
// scripts see: fields are added, never changed or taken away.
//
//	GET  /v1/status                     Status
//	GET  /v1/events                     Events, one JSON object a line, the present state first;
//	                                    server-sent events when Accept says text/event-stream
//	POST /v1/switchover   {"to":"b","timeoutMs":5000}    {"master":"b"}
//	POST /v1/drain        {"force":false}                Status
//	POST /v1/resume                                      Status
//	POST /v1/promote      {"force":false}                Status
//	POST /v1/maintenance  {"on":true,"for":"30m"}        Status
//	GET  /healthz                       200 while the instance answers
//	GET  /master /primary /leader       200 if it is master, else 503
//	GET  /slave /replica                200 if it is a slave, else 503
//
// Every body may be left out; its fields are then zero. What goes wrong is
// told as RFC 9457 problem details, see [Error].
//
// Who may speak: the folder of the socket is closed to others (0700), the
// socket too (0600), and on Linux the kernel is asked who has dialled: the
// same user and root are let in, nobody else. There is no further
// authentication, so who can become that user can give every order.
//
// Not promised: that no event is missed. A reader that is too slow is cut off
// rather than let it hold up the instance; it sees an event of type [EventCut]
// when there is still a way to tell it, and starts anew with the present
// state.
package admin
