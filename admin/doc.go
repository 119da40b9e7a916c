// Package admin is the doors to a running instance: an HTTP API over a Unix
// socket and, if wanted, over TCP, and the client that the command line uses to
// knock on the first.
//
// [Server] serves a [Node], its [Caches] and its [Steps], interfaces that the
// assembled instance fulfils. [Client] speaks to one socket; [Find] says which
// sockets of this machine have somebody behind them. The types [Status],
// [Event], [Step] and those of the cache are the JSON that scripts see: fields
// are added, never changed or taken away.
//
//	GET  /v1/status                     Status
//	GET  /v1/events                     Events, one JSON object a line, the present state first;
//	                                    server-sent events when Accept says text/event-stream
//	POST /v1/switchover   {"to":"b","timeoutMs":5000}    {"master":"b"}
//	POST /v1/drain        {"force":false}                Status
//	POST /v1/resume                                      Status
//	POST /v1/promote      {"force":false}                Status
//	POST /v1/maintenance  {"on":true,"for":"30m"}        Status; 30m unless said
//	GET  /v1/cache                      CacheStats: the names, and how complete they are here
//	GET  /v1/cache/{cache}              CachePage: after=KEY limit=100 state=in-flight|done|failed
//	                                    workflow=NAME orphans=1; next is the key to go on after
//	GET  /v1/cache/{cache}?watch=1      CacheChanges from now on, streamed as the events are
//	GET  /v1/cache/{cache}/{key}        CacheItem; the bare value when Accept says
//	                                    application/octet-stream; orphan=1
//	PUT  /v1/cache/{cache}/{key}        the body is the value; inFlight=1 pins it; timeoutMs=5000
//	DELETE /v1/cache/{cache}/{key}      orphan=1 drops the orphans of that key instead
//	GET  /v1/in-flight                  CachePage: cache=NAME after=KEY limit=100 workflow=NAME;
//	                                    its entries say which steps are open, and what may be out
//	POST /v1/steps                      one Step or an array: what a workload does with its messages;
//	                                    StepsAnswer; timeoutMs=5000 for a fence. 429 with Retry-After:
//	                                    no room now; an error says how many were "taken" before it
//	GET  /metrics                       numbers in the Prometheus text format
//	GET  /                              the dashboard, a page for people
//	GET  /v1/openapi.json               all of this, for programs
//	GET  /healthz                       200 while the instance answers
//	GET  /readyz                        200 if it works or could take over, else 503
//	GET  /master /primary /leader       200 if it is master, else 503
//	GET  /slave /replica                200 if it is a slave, else 503
//
// Every body may be left out; its fields are then zero. What goes wrong is
// told as RFC 9457 problem details, see [Error].
//
// Keys of a cache are any bytes. In a path they are percent-encoded, slashes
// may stay. In JSON a key that is not UTF-8, and a value that is no printable
// text, is base64 and has "base64" in the field beside it (keyEncoding,
// encoding, nextEncoding); after takes such a key with afterEncoding=base64.
// What a slave answers is its copy: the copy field says of whom and how far
// behind. Only the master writes; a slave's answer names it.
//
// Who may speak on the socket: its folder is closed to others (0700), the
// socket too (0600), and on Linux the kernel is asked who has dialled: the
// same user and root are let in, nobody else. There is no further
// authentication, so who can become that user can give every order.
//
// Over TCP ([TCP]) anybody may read what tells no content: status, metrics, the
// probes and this description. What changes state needs a bearer token, and on
// an address that is not loopback so does the rest. Without
// it, requests under a name that is not the instance's are turned away, except
// for probes; those of other sites always are. SECURITY.md has the whole of it.
//
// Not promised: that pages fit together while the cache changes, or that no
// event is missed. A reader that is too slow is cut off rather than let it
// hold up the instance; it sees an event of type [EventCut] (of a cache, a
// change of [OpCut]) when there is still a way to tell it, and starts anew with
// the present state.
package admin
