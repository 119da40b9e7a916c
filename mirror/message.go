package mirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of a Message. The whole must also fit into a value of the cache.
const (
	MaxName  = 1 << 10 // bytes of ID, Workflow and Step
	MaxError = 8 << 10 // bytes of Error
)

const (
	mark0   = 0xf5 // occurs nowhere in UTF-8
	mark1   = 'M'
	version = 1
)

// What callers branch on.
var (
	ErrNotMessage = errors.New("mirror: the value is no message")
	ErrVersion    = errors.New("mirror: the message was written by a later version")
)

// State says how far a message has come.
type State uint8

// How far a message has come.
const (
	InFlight State = 1 + iota
	Done
	Failed
)

var stateNames = [...]string{"", "in-flight", "done", "failed"}

// String is the state as the command line and the API write it.
func (s State) String() string {
	if s.valid() {
		return stateNames[s]
	}
	return "unknown"
}

func (s State) valid() bool { return s >= InFlight && s <= Failed }

// ParseState reads what String writes.
func ParseState(text string) (State, bool) {
	for s := InFlight; s <= Failed; s++ {
		if stateNames[s] == text {
			return s, true
		}
	}
	return 0, false
}

// Message is the state of one message. Its zero State is not valid.
type Message struct {
	ID       string
	Workflow string
	Step     string // the last one reached
	State    State
	Attempts uint32
	Started  int64  // ms since 1970 UTC
	Updated  int64  // ms since 1970 UTC
	Error    string // of the last attempt, if it failed
	Payload  []byte // nil unless the workflow keeps it
}

// AppendBinary appends the bytes of m, which the package comment draws.
func (m Message) AppendBinary(b []byte) ([]byte, error) {
	switch {
	case !m.State.valid():
		return b, fmt.Errorf("mirror: write a message of state %d", m.State)
	case max(len(m.ID), len(m.Workflow), len(m.Step)) > MaxName:
		return b, fmt.Errorf("mirror: write a message whose id, workflow or step has more than %d bytes", MaxName)
	case len(m.Error) > MaxError:
		return b, fmt.Errorf("mirror: write a message whose error has more than %d bytes", MaxError)
	}
	b = append(b, mark0, mark1, version, byte(m.State))
	b = binary.AppendUvarint(b, uint64(m.Attempts))
	b = binary.AppendVarint(b, m.Started)
	b = binary.AppendVarint(b, m.Updated-m.Started) // wraps as the reader's sum does
	for _, s := range [...]string{m.ID, m.Workflow, m.Step, m.Error} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Payload)))
	return append(b, m.Payload...), nil
}

// MarshalBinary is AppendBinary to a new slice.
func (m Message) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// Unmarshal reads a message. Its Payload is a part of b, not a copy.
//
// The error is ErrNotMessage for a value that is something else, ErrVersion
// for a message that only a later version can read, and wraps
// io.ErrUnexpectedEOF for one that is cut short.
func Unmarshal(b []byte) (Message, error) {
	if len(b) < 2 || b[0] != mark0 || b[1] != mark1 {
		return Message{}, ErrNotMessage
	}
	r := reader{rest: b[2:]}
	if v := r.byte(); r.err == nil && v != version {
		return Message{}, ErrVersion
	}
	m := Message{State: State(r.byte())}
	if r.err == nil && !m.State.valid() {
		r.err = fmt.Errorf("state %d is not known", m.State)
	}
	attempts := r.uvarint()
	if r.err == nil && attempts > 1<<32-1 {
		r.err = fmt.Errorf("%d attempts are too many", attempts)
	}
	m.Attempts = uint32(attempts)
	m.Started = r.varint()
	m.Updated = m.Started + r.varint()
	m.ID = string(r.bytes(MaxName))
	m.Workflow = string(r.bytes(MaxName))
	m.Step = string(r.bytes(MaxName))
	m.Error = string(r.bytes(MaxError))
	if p := r.bytes(len(b)); len(p) > 0 {
		m.Payload = p
	}
	if r.err != nil {
		return Message{}, fmt.Errorf("mirror: read a message: %w", r.err)
	}
	return m, nil
}

// reader takes one field after the other. After an error it yields zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.err = io.ErrUnexpectedEOF
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// bytes takes a length and as many bytes; most is the limit of the field.
func (r *reader) bytes(most int) []byte {
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.rest)) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err == nil && n > uint64(most) {
		r.err = fmt.Errorf("a field of %d bytes is too long", n)
	}
	if r.err != nil {
		return nil
	}
	return r.take(int(n))
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

// skip goes past a varint of n bytes; 0 and below are encoding/binary's errors.
func (r *reader) skip(n int) {
	switch {
	case n > 0:
		r.take(n)
	case r.err != nil:
	case n == 0:
		r.err = io.ErrUnexpectedEOF
	default:
		r.err = errors.New("a number is too large")
	}
}
