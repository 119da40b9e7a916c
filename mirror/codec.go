package mirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/interlok-ha/interlok-ha/profiler"
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

// AppendBinary appends the bytes of m, which the package comment draws.
func (m Message) AppendBinary(b []byte) ([]byte, error) {
	switch {
	case !m.State.valid():
		return b, fmt.Errorf("mirror: write a message of state %d", m.State)
	case max(len(m.ID), len(m.Workflow), len(m.Step)) > MaxName:
		return b, fmt.Errorf("mirror: write a message whose id, workflow or step has more than %d bytes", MaxName)
	case len(m.Error) > MaxError:
		return b, fmt.Errorf("mirror: write a message whose error has more than %d bytes", MaxError)
	case len(m.Steps) > MaxSteps:
		return b, fmt.Errorf("mirror: write a message with more than %d steps", MaxSteps)
	}
	for i := range m.Steps {
		if len(m.Steps[i].Name) > MaxName {
			return b, fmt.Errorf("mirror: write a message with a step whose name has more than %d bytes", MaxName)
		}
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
	b = append(b, m.Payload...)
	if m.Epoch == 0 && m.Begun == 0 && len(m.Steps) == 0 {
		return b, nil
	}
	b = binary.AppendUvarint(b, m.Epoch)
	b = binary.AppendUvarint(b, m.Begun)
	b = binary.AppendUvarint(b, uint64(len(m.Steps)))
	for i := range m.Steps {
		s := &m.Steps[i]
		b = binary.AppendUvarint(b, uint64(len(s.Name)))
		b = append(b, s.Name...)
		b = append(b, byte(s.Kind), byte(s.Phase))
		b = binary.AppendUvarint(b, uint64(s.Order))
		b = binary.AppendUvarint(b, uint64(s.Attempt))
	}
	return b, nil
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
	m.Attempts = r.uint32("attempts")
	m.Started = r.varint()
	m.Updated = m.Started + r.varint()
	m.ID = string(r.bytes(MaxName))
	m.Workflow = string(r.bytes(MaxName))
	m.Step = string(r.bytes(MaxName))
	m.Error = string(r.bytes(MaxError))
	if p := r.bytes(len(b)); len(p) > 0 {
		m.Payload = p
	}
	if r.err == nil && len(r.rest) > 0 { // there is none in what older versions wrote
		m.Epoch, m.Begun = r.uvarint(), r.uvarint()
		m.Steps = r.steps()
	}
	if r.err != nil {
		return Message{}, fmt.Errorf("mirror: read a message: %w", r.err)
	}
	return m, nil
}

func (r *reader) steps() []Step {
	n := r.uvarint()
	if r.err == nil && n > MaxSteps {
		r.err = fmt.Errorf("%d steps are too many", n)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	steps := make([]Step, 0, min(n, uint64(len(r.rest))))
	for range n {
		steps = append(steps, Step{
			Name: string(r.bytes(MaxName)), Kind: profiler.Kind(r.byte()), Phase: profiler.Phase(r.byte()),
			Order: r.uint32("steps"), Attempt: r.uint32("attempts"),
		})
		if r.err != nil {
			return nil
		}
	}
	return steps
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

func (r *reader) uint32(what string) uint32 {
	v := r.uvarint()
	if r.err == nil && v > 1<<32-1 {
		r.err = fmt.Errorf("%d %s are too many", v, what)
	}
	return uint32(v)
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
