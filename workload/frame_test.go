package workload

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

func TestFrame(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame frame
		bytes string
	}{
		{"feed", frame{instance: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, epoch: 9, kind: kindFeed, seq: 10, value: 11},
			"0102030405060708 0000000000000009 00 0000000000000a 000000000000000b"},
		{"stop", frame{epoch: 1<<64 - 1, kind: kindStop, seq: maxSeq, value: 1 << 63},
			"0000000000000000 ffffffffffffffff 01 ffffffffffffff 8000000000000000"},
		{"ended", frame{instance: [8]byte{255}, kind: kindEnded, value: 1<<32 | 0x0300},
			"ff00000000000000 0000000000000000 12 00000000000000 0000000100000300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(tt.bytes), []byte(" "), nil)))
			if err != nil {
				t.Fatal(err)
			}
			var got [frameSize]byte
			tt.frame.put(&got)
			if !bytes.Equal(got[:], want) {
				t.Errorf("put: %x, want %x", got, want)
			}
			back, err := parseFrame(append(want, "more"...))
			if err != nil || back != tt.frame {
				t.Errorf("parse: %+v, %v; want %+v", back, err, tt.frame)
			}
			if _, err := parseFrame(want[:frameSize-1]); err == nil {
				t.Error("parse took a short frame")
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(make([]byte, frameSize))
	f.Add(make([]byte, frameSize-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := parseFrame(b)
		if err != nil {
			return
		}
		var back [frameSize]byte
		if parsed.put(&back); !bytes.Equal(back[:], b[:frameSize]) {
			t.Errorf("%x became %x", b, back)
		}
		var l lease
		l.take(parsed)
		if l.until < 0 {
			t.Errorf("until %v of %x", l.until, b)
		}
	})
}

func TestLease(t *testing.T) {
	me, other := [8]byte{1}, [8]byte{2}
	feed := func(epoch uint64, until time.Duration) frame {
		return frame{instance: me, epoch: epoch, value: uint64(until)}
	}
	for _, tt := range []struct {
		name   string
		frames []frame
		counts bool // the last one
		until  time.Duration
		fed    bool
	}{
		{"nothing", nil, false, 0, false},
		{"first", []frame{feed(5, 10)}, true, 10, true},
		{"epoch 0", []frame{feed(0, 10)}, true, 10, true},
		{"greater", []frame{feed(5, 10), feed(5, 20)}, true, 20, true},
		{"smaller takes nothing back", []frame{feed(5, 20), feed(5, 10)}, true, 20, true},
		{"older epoch", []frame{feed(5, 10), feed(4, 20)}, false, 10, true},
		{"newer epoch", []frame{feed(5, 20), feed(6, 10)}, true, 10, true},
		{"older after newer", []frame{feed(5, 20), feed(6, 10), feed(5, 30)}, false, 10, true},
		{"another instance", []frame{feed(5, 10), {instance: other, epoch: 6, value: 99}}, false, 10, true},
		{"stop does not feed", []frame{{instance: me, epoch: 5, kind: kindStop, value: 99}}, true, 0, false},
		{"stop of no epoch", []frame{feed(5, 10), {instance: me, epoch: 1<<64 - 1, kind: kindStop, value: 99}, feed(5, 20)}, true, 20, true},
		{"kill of another instance", []frame{feed(5, 10), {instance: other, epoch: 5, kind: kindKill}}, false, 10, true},
		{"beyond all time", []frame{feed(5, 10), {instance: me, epoch: 5, value: 1<<64 - 1}}, true, 1<<63 - 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, counts := lease{instance: me}, false
			for _, f := range tt.frames {
				counts = l.take(f)
			}
			if counts != tt.counts || l.until != tt.until || l.fed != tt.fed {
				t.Errorf("counts %v, until %v, fed %v; want %v, %v, %v", counts, l.until, l.fed, tt.counts, tt.until, tt.fed)
			}
			if tt.fed && (l.over(tt.until-1) || !l.over(tt.until)) {
				t.Errorf("over does not begin at %v", tt.until)
			}
			if !tt.fed && l.over(1<<62) {
				t.Error("over before it began")
			}
		})
	}
}
