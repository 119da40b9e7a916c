package cache

import (
	"bytes"
	"encoding/binary"
	"net"
	"reflect"
	"testing"
	"time"
)

func TestHelloAndWelcomeKeepTheirFields(t *testing.T) {
	history := []span{{Reign{1, InstanceID{1}}, 1}, {Reign{3, InstanceID{2}}, 70}}
	h := hello{
		mode: modePull, cluster: clusterTag("x"), instance: InstanceID{7}, name: "é", addr: "127.0.0.1:1",
		reign: Reign{9, InstanceID{8}}, last: 99, anew: true, history: history,
	}
	var h2 hello
	if err := h2.unmarshal(append(h.marshal(), "later fields"...)); err != nil || !reflect.DeepEqual(h, h2) {
		t.Errorf("%+v, %v, want %+v", h2, err, h)
	}
	w := welcome{
		instance: InstanceID{7}, name: "n", reign: Reign{9, InstanceID{8}}, last: 9, snapshot: true, base: 8, fork: 7, entries: 6, now: 5,
		history: history, index: []declared{{"A", true}, {"B", false}}, inStep: []InstanceID{{1}, {2}},
	}
	var w2 welcome
	if err := w2.unmarshal(append(w.marshal(), "later fields"...)); err != nil || !reflect.DeepEqual(w, w2) {
		t.Errorf("%+v, %v, want %+v", w2, err, w)
	}
	for i := range h.marshal() {
		if new(hello).unmarshal(h.marshal()[:i]) == nil {
			t.Errorf("a hello of %d bytes is taken", i)
		}
	}
	for i := range w.marshal() {
		if new(welcome).unmarshal(w.marshal()[:i]) == nil {
			t.Errorf("a welcome of %d bytes is taken", i)
		}
	}
}

// The bytes of a record, PROTOCOL.md §10.3.
func TestRecordBytes(t *testing.T) {
	r := record{op: OpUpdate, cache: 3, flags: flagInFlight, created: 0x0102_03040506, key: []byte("k"), value: []byte("vv")}
	got := make([]byte, r.size())
	r.put(got)
	want := []byte{2, 3, 1, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 'k', 'v', 'v'}
	if !bytes.Equal(got, want) {
		t.Fatalf("% x, want % x", got, want)
	}
	var r2 record
	if rest, err := r2.parse(append(got, 9)); err != nil || len(rest) != 1 || !reflect.DeepEqual(r, r2) {
		t.Fatalf("%+v, %v", r2, err)
	}
}

// script is a connection that says what is in it, and takes everything.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// FuzzMaster feeds a slave what a hostile master may say after its welcome: it
// must neither panic nor take more than it is given.
func FuzzMaster(f *testing.F) {
	reign := record{op: opReign, key: make([]byte, 16), value: make([]byte, 8)}
	declare := record{op: opDeclare, key: []byte("FAILOVER_CACHE"), value: []byte{0}}
	put := record{op: OpPut, key: []byte("k"), value: []byte("v")}
	var records []byte
	for _, r := range []record{reign, declare, put, put} {
		b := make([]byte, r.size())
		r.put(b)
		records = append(records, b...)
	}
	head := make([]byte, liveHeader)
	(&live{epoch: 1, first: 1, count: 4, last: 4}).put(head)
	f.Add(false, uint8(frameLive), append(head, records...))
	entry := binary.BigEndian.AppendUint64(nil, 3)
	b := make([]byte, put.size())
	put.put(b)
	f.Add(true, uint8(frameSnapshot), append(entry, b...))
	f.Add(true, uint8(frameSnapped), make([]byte, 8))
	f.Add(false, uint8(framePing), make([]byte, liveHeader+16))
	f.Add(false, uint8(frameWelcome), (&welcome{history: []span{{Reign{1, InstanceID{1}}, 1}}}).marshal())
	f.Add(false, uint8(frameHello), (&hello{}).marshal())
	f.Fuzz(func(t *testing.T, snapshot bool, kind uint8, body []byte) {
		var h hello
		_ = h.unmarshal(body)
		var w welcome
		_ = w.unmarshal(body)
		cfg := Config{Cluster: "c", Name: "n", Caches: []Spec{{Name: DefaultName, Eternal: true}}, RingBytes: 1 << 20, Now: func() time.Duration { return 0 }}
		c := &Cache{cfg: cfg, own: newReplica(&cfg), base: time.Now(), events: newEvents(nil), followers: map[*follower]struct{}{}, watchers: map[*watcher]struct{}{}}
		conn := &script{in: bytes.NewReader(append(frame(frameKind(kind), body), frame(frameKind(kind), body)...))}
		c.stream = stream{conn: conn, connected: true}
		if snapshot {
			if err := c.prepare(&welcome{snapshot: true, index: []declared{{DefaultName, false}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.receive(conn, newReader(conn, maxFrame), false); err == nil {
			t.Fatal("the stream ended without an error")
		}
		if c.own.ring.bytes > 4<<20 {
			t.Fatalf("the ring holds %d bytes", c.own.ring.bytes)
		}
	})
}
