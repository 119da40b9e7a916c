package admin

import (
	"context"
	"errors"
	"net/http"
)

// Kind sorts errors. It decides the HTTP status and the command line's exit code.
type Kind string

// The kinds of errors.
const (
	KindUsage        Kind = "usage"          // the request makes no sense: 400
	KindUnauthorized Kind = "unauthorized"   // the token is missing or wrong: 401
	KindForbidden    Kind = "forbidden"      // the caller may not: 403
	KindUnknown      Kind = "unknown"        // no such path, instance, cache or key: 404
	KindMethod       Kind = "method"         // the path is there, the method is not: 405
	KindSlow         Kind = "slow"           // the body did not come in time: 408
	KindTooLarge     Kind = "too-large"      // the body exceeds its limit: 413
	KindMisdirected  Kind = "misdirected"    // the Host is none of the instance's names: 421
	KindRefused      Kind = "refused"        // possible in general, not in this state: 409
	KindNotMaster    Kind = "not-master"     // only the master can do it: 409
	KindIneligible   Kind = "ineligible"     // the named instance may not become master: 409
	KindTimeout      Kind = "timeout"        // ordered, and not seen to be done in time: 504
	KindFull         Kind = "full"           // no room for it now: 503
	KindBusy         Kind = "busy"           // too much at once; try again a little later: 429
	KindNoReplica    Kind = "no-replica"     // no slave is there to confirm it: 503
	KindUnavailable  Kind = "unavailable"    // the instance is stopping: 503
	KindInternal     Kind = "internal"       // a fault of ours: 500
	KindNotReached   Kind = "not-reached"    // no instance answers (client only)
	KindAmbiguous    Kind = "several"        // more than one instance answers (client only)
	KindBadSocket    Kind = "bad-socket"     // the socket cannot be made or used
	KindBadListen    Kind = "bad-listen"     // the TCP address cannot be used
	KindRunning      Kind = "already-served" // another process answers on the socket
)

var kinds = map[Kind]struct {
	status int
	title  string
}{
	KindUsage:        {http.StatusBadRequest, "the request makes no sense"},
	KindUnauthorized: {http.StatusUnauthorized, "no token, or a wrong one"},
	KindForbidden:    {http.StatusForbidden, "not allowed"},
	KindUnknown:      {http.StatusNotFound, "not found"},
	KindMethod:       {http.StatusMethodNotAllowed, "method not allowed"},
	KindTooLarge:     {http.StatusRequestEntityTooLarge, "the body is too large"},
	KindSlow:         {http.StatusRequestTimeout, "the body is too slow"},
	KindMisdirected:  {http.StatusMisdirectedRequest, "not this instance's name"},
	KindRefused:      {http.StatusConflict, "refused in this state"},
	KindNotMaster:    {http.StatusConflict, "not the master"},
	KindIneligible:   {http.StatusConflict, "may not become master"},
	KindTimeout:      {http.StatusGatewayTimeout, "not done in time"},
	KindFull:         {http.StatusServiceUnavailable, "no room now"},
	KindBusy:         {http.StatusTooManyRequests, "too much at once"},
	KindNoReplica:    {http.StatusServiceUnavailable, "no slave confirms it"},
	KindUnavailable:  {http.StatusServiceUnavailable, "the instance is stopping"},
	KindInternal:     {http.StatusInternalServerError, "internal error"},
}

// Error is a failure that its receiver can act on.
type Error struct {
	Kind Kind
	// Detail is a sentence without capital and full stop: what is wrong.
	Detail string
	// Mend is what to do about it; may be empty.
	Mend string
	// Taken is how many of the steps that were sent had been taken before.
	Taken int
	// Err is the cause, if there is one.
	Err error
}

// Error is the detail. The mend is not part of it, so that it can stand on a
// line of its own.
func (e *Error) Error() string { return e.Detail }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of err: KindInternal for one that has none, "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return KindTimeout
	}
	return KindInternal
}

// Problem is an error on the wire, RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Kind and Mend are ours.
	Kind Kind   `json:"kind"`
	Mend string `json:"mend,omitempty"`
	// Taken is set where steps were sent: so many were taken before.
	Taken *int `json:"taken,omitempty"`
}

// problemOf is err as the API tells it.
func problemOf(err error) Problem {
	p := Problem{Kind: KindOf(err), Detail: err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		p.Mend = e.Mend
	}
	k, ok := kinds[p.Kind]
	if !ok {
		p.Kind = KindInternal
		k = kinds[KindInternal]
	}
	p.Status, p.Title = k.status, k.title
	p.Type = "urn:interlok-ha:problem:" + string(p.Kind)
	return p
}
