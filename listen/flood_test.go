package listen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func id(n int) (id heartbeat.InstanceID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(t, func(c *Config) { c.Buffer = 10000 })
		good := codec(t, "c", key)
		for i := range 1000 {
			s.handle(seal(t, good, packet(id(i), 1)), addrA, true)
		}
		if got, want := counted(s), fmt.Sprintf("flood=%d", 1000-floodBurst); got != want {
			t.Errorf("at once: counted %q, want %q", got, want)
		}
		time.Sleep(time.Second) // of the synctest clock
		for i := range 100 {
			s.handle(seal(t, good, packet(id(2000+i), 1)), addrA, true)
		}
		if got, want := s.Accepted(), uint64(floodBurst+floodRate); got != want {
			t.Errorf("a second later: %d instances are known, want %d", got, want)
		}
		// Who is known is heard, and so is who comes from elsewhere.
		s.handle(seal(t, good, packet(id(0), 2)), addrA, true)
		from := addrB
		for s.bucketOf(from) == s.bucketOf(addrA) {
			from = netip.AddrPortFrom(from.Addr().Next(), 1)
		}
		s.handle(seal(t, good, packet(peerB, 1)), from, true)
		if got, want := s.Accepted(), uint64(floodBurst+floodRate+2); got != want {
			t.Errorf("%d packets accepted, want %d", got, want)
		}
	})
}

// bucketOf finds the bucket of an address by using it up.
func (s *Service) bucketOf(a netip.AddrPort) int {
	before := append([]bucket(nil), s.floods.buckets...)
	s.floods.admit(a.Addr(), time.Now().Add(time.Hour))
	for i := range before {
		if before[i] != s.floods.buckets[i] {
			copy(s.floods.buckets, before)
			return i
		}
	}
	panic("no bucket changed")
}

func TestSeenForgetsTheLongestSilent(t *testing.T) {
	s := newSeen(3)
	s.put(id(1), 10)
	s.put(id(2), 20)
	s.put(id(3), 30)
	s.put(id(1), 11) // 2 is now the longest silent
	s.put(id(4), 40)
	s.put(id(1), 12)
	s.put(id(5), 50) // and now 3
	want := map[int]uint64{1: 12, 4: 40, 5: 50}
	for n := 1; n <= 5; n++ {
		seq, known := s.last(id(n))
		if seq != want[n] || known != (want[n] != 0) {
			t.Errorf("%d: got %d, %v, want %d", n, seq, known, want[n])
		}
	}
	if len(s.index) != 3 || len(s.entries) != 4 {
		t.Errorf("%d entries, %d in the index", len(s.entries), len(s.index))
	}
}

// The table against a simple model of it.
func TestSeenModel(t *testing.T) {
	const size = 8
	s := newSeen(size)
	var model []int // oldest first
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		n := r.IntN(20)
		s.put(id(n), uint64(i))
		for j, m := range model {
			if m == n {
				model = append(model[:j], model[j+1:]...)
				break
			}
		}
		if model = append(model, n); len(model) > size {
			model = model[1:]
		}
		for n := range 20 {
			_, known := s.last(id(n))
			want := false
			for _, m := range model {
				want = want || m == n
			}
			if known != want {
				t.Fatalf("after %d puts: %d known %v, want %v", i+1, n, known, want)
			}
		}
	}
}

// dropped is one packet for each cause that an outsider or a peer can bring about.
func dropped(t testing.TB) map[Cause][]byte {
	good := codec(t, "c", key)
	forged := seal(t, good, packet(peerA, 5))
	forged[60] ^= 1
	version := bytes.Clone(forged)
	version[4] = 9
	return map[Cause][]byte{
		Short: {1, 2}, Magic: []byte("some other protocol"), Version: version, Length: forged[:100],
		Cluster: seal(t, codec(t, "other", key), packet(peerA, 5)), Unsigned: seal(t, codec(t, "c"), packet(peerA, 5)),
		Key: seal(t, codec(t, "c", heartbeat.Key{2}), packet(peerA, 5)), Forged: forged,
		Own: seal(t, good, packet(self, 5)), Duplicate: seal(t, good, packet(peerB, 1)), Flood: seal(t, good, packet(id(9999), 1)),
	}
}

// flooded is a service that knows peerB and takes nobody else from addrA.
func flooded(t testing.TB) *Service {
	s := service(t, func(c *Config) { c.Log = zerolog.New(&bytes.Buffer{}) })
	good := codec(t, "c", key)
	s.handle(seal(t, good, packet(peerB, 1)), addrB, true)
	for i := range s.floods.buckets {
		s.floods.buckets[i] = bucket{left: -1e9, at: time.Now()}
	}
	return s
}

func TestDroppingDoesNotAllocate(t *testing.T) {
	all := dropped(t)
	s := flooded(t)
	for cause, b := range all {
		s.handle(b, addrA, true) // the first may write a log line
		before := s.counts[cause].Load()
		if n := testing.AllocsPerRun(100, func() {
			s.handle(b, addrA, true)
			s.handle(all[Own], addrA, true) // another name in between
		}); n != 0 {
			t.Errorf("%v: %v allocations", cause, n)
		}
		if s.counts[cause].Load() == before {
			t.Errorf("%v was not counted", cause)
		}
	}
}

func BenchmarkDrop(b *testing.B) {
	for _, cause := range Causes() {
		data, ok := dropped(b)[cause]
		if !ok {
			continue
		}
		b.Run(cause.String(), func(b *testing.B) {
			s := flooded(b)
			b.ReportAllocs()
			for b.Loop() {
				s.handle(data, addrA, true)
			}
		})
	}
}

func BenchmarkAccept(b *testing.B) {
	s := service(b, nil)
	c := codec(b, "c", key)
	p, buf := packet(peerA, 0), make([]byte, 0, heartbeat.MaxSize)
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		data, err := c.Seal(buf, p)
		if err != nil {
			b.Fatal(err)
		}
		s.handle(data, addrA, true)
		<-s.Packets()
	}
}
