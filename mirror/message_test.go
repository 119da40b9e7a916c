package mirror

import (
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/profiler"
)

var full = Message{
	ID: "m-1", Workflow: "orders", Step: "validate", State: Failed, Attempts: 300,
	Started: 1_795_000_000_000, Updated: 1_795_000_000_250, Error: "no stock", Payload: []byte{0, 1, 2},
	Epoch: 3, Begun: 300, Steps: []Step{
		{Name: "publish", Kind: profiler.Producer, Phase: profiler.Completed, Order: 4, Attempt: 299},
		{Name: "p", Kind: profiler.Producer, Phase: profiler.Started, Order: 200, Attempt: 300},
	},
}

// The bytes written out: a change of them is a change of the format.
func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		m    Message
		want string
	}{
		{Message{State: InFlight}, "f54d 01 01 00 00 00 00 00 00 00 00"},
		{full, "f54d 01 03 ac02 80f8b2e5bd68 f403 03 6d2d31 06 6f7264657273 08 76616c6964617465 08 6e6f2073746f636b 03 000102" +
			"03 ac02 02 07 7075626c697368 05 02 04 ab02 01 70 05 01 c801 ac02"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(tt.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tt.m.MarshalBinary()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: got %x, %v, want %x", tt.m, got, err, want)
		}
		back, err := Unmarshal(want)
		if err != nil || !reflect.DeepEqual(back, tt.m) {
			t.Errorf("%x: got %+v, %v, want %+v", want, back, err, tt.m)
		}
		if tt.m.Steps != nil {
			later, err := Unmarshal(append(want, "a field of a later version"...))
			if err != nil || !reflect.DeepEqual(later, tt.m) {
				t.Errorf("%x with more behind: got %+v, %v", want, later, err)
			}
		}
		if utf8.Valid(got) {
			t.Errorf("%x could be taken for text", got)
		}
	}
}

func TestExtremes(t *testing.T) {
	for _, m := range []Message{
		{State: Done, Started: math.MinInt64, Updated: math.MaxInt64, Attempts: math.MaxUint32},
		{State: Done, Started: math.MaxInt64, Updated: math.MinInt64},
		{State: InFlight, ID: strings.Repeat("i", MaxName), Error: strings.Repeat("e", MaxError), Payload: make([]byte, 1<<20)},
		{State: InFlight, ID: "\x00\xff\n"},
		{State: InFlight, Epoch: math.MaxUint64, Begun: math.MaxUint64, Steps: slices.Repeat([]Step{{Order: math.MaxUint32, Attempt: math.MaxUint32}}, MaxSteps)},
		{State: InFlight, Begun: 1},
	} {
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Unmarshal(b); err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("a message of %d bytes came back differently: %v", len(b), err)
		}
	}
}

// Every cut is an error, but for the one behind the payload, where what older
// versions wrote ends. None but the first two bytes makes it something else.
func TestCutShort(t *testing.T) {
	b, err := full.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	old := full
	old.Epoch, old.Begun, old.Steps = 0, 0, nil
	short, err := old.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Unmarshal(b[:len(short)]); err != nil || !reflect.DeepEqual(m, old) {
		t.Errorf("what an older version wrote: %+v, %v", m, err)
	}
	for n := range b {
		if n == len(short) {
			continue
		}
		want := io.ErrUnexpectedEOF
		if n < 2 {
			want = ErrNotMessage
		}
		if m, err := Unmarshal(b[:n]); !errors.Is(err, want) || !reflect.DeepEqual(m, Message{}) {
			t.Errorf("the first %d bytes: %+v, %v, want %v", n, m, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	head := "\xf5M\x01\x01"
	for _, tt := range []struct {
		name, in string
		want     error // nil: any
		says     string
	}{
		{"nothing", "", ErrNotMessage, ""},
		{"text", "hello", ErrNotMessage, ""},
		{"json", `{"id":"m"}`, ErrNotMessage, ""},
		{"later version", "\xf5M\x02\x01", ErrVersion, ""},
		{"state 0", "\xf5M\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", nil, "state 0"},
		{"state 4", "\xf5M\x01\x04\x00\x00\x00\x00\x00\x00\x00\x00", nil, "state 4"},
		{"attempts beyond 32 bits", head + "\x80\x80\x80\x80\x10" + "\x00\x00\x00\x00\x00\x00\x00", nil, "too many"},
		{"endless number", head + strings.Repeat("\xff", 11), nil, "too large"},
		{"length beyond the end", head + "\x00\x00\x00\x05abc", io.ErrUnexpectedEOF, ""},
		{"length of 2^63", head + "\x00\x00\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01abc", io.ErrUnexpectedEOF, ""},
		{"too many steps", head + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x81\x02", nil, "too many"},
		{"long step", head + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x81\x08" + strings.Repeat("x", MaxName+1), nil, "too long"},
		{"order beyond 32 bits", head + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x05\x01\x80\x80\x80\x80\x10\x00", nil, "too many"},
		{"long name", head + "\x00\x00\x00\x81\x08" + strings.Repeat("x", MaxName+1), nil, "too long"},
	} {
		_, err := Unmarshal([]byte(tt.in))
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %v %q", tt.name, err, tt.want, tt.says)
		}
	}
	for _, m := range []Message{
		{}, {State: 4},
		{State: Done, ID: strings.Repeat("x", MaxName+1)},
		{State: Done, Workflow: strings.Repeat("x", MaxName+1)},
		{State: Done, Step: strings.Repeat("x", MaxName+1)},
		{State: Done, Error: strings.Repeat("x", MaxError+1)},
		{State: Done, Steps: make([]Step, MaxSteps+1)},
		{State: Done, Steps: []Step{{Name: strings.Repeat("x", MaxName+1)}}},
	} {
		if b, err := m.AppendBinary([]byte("kept")); err == nil || string(b) != "kept" {
			t.Errorf("a message that is not valid was written: %.40q, %v", b, err)
		}
	}
}

// A payload cannot be appended to over what stands behind it.
func TestPayloadIsPart(t *testing.T) {
	b, err := full.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, "behind"...)
	m, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Payload, "OVER"...)
	if !strings.HasSuffix(string(b), "behind") {
		t.Errorf("what stands behind the payload was overwritten: %q", b)
	}
}

func TestStates(t *testing.T) {
	for s := range State(6) {
		back, ok := ParseState(s.String())
		if ok != s.valid() || ok && back != s {
			t.Errorf("%d is %q and comes back as %d, %v", s, s, back, ok)
		}
	}
	if _, ok := ParseState(""); ok {
		t.Error("the empty word is a state")
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, err := full.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, 1, 2, 3))
	f.Add([]byte("\xf5M\x01\x01\x00\x00\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01abc"))
	f.Add([]byte("\xf5M\x02"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Unmarshal(b)
		if err != nil {
			return
		}
		again, err := m.MarshalBinary()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := Unmarshal(again)
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%+v came back as %+v, %v", m, back, err)
		}
	})
}
