//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
)

// Heard is a packet that went over the group.
type Heard struct {
	At     time.Time
	Packet heartbeat.Packet
	Raw    []byte // the datagram
}

// Wire is a socket on the group of a cluster that is no instance.
type Wire struct {
	Conn *mcast.Conn
	// Close ends listening; what was heard stays. The end of the test does it too.
	Close func()

	mu    sync.Mutex // guards what follows
	heard []Heard
	last  []byte // the last good datagram
}

// Wire listens to the cluster's group on lo and keeps what is of the cluster,
// until the test ends.
func (c *Cluster) Wire(keys ...heartbeat.Key) *Wire {
	c.t.Helper()
	codec, err := heartbeat.NewCodec(c.Name, 0, keys...)
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := mcast.Open(mcast.Config{Group: c.Group, Port: c.Port, Interface: "lo", TTL: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	w := &Wire{Conn: conn}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.Run(ctx, func(b []byte, _ netip.AddrPort, _ bool) {
			w.mu.Lock() // the codec too belongs to one goroutine at a time
			defer w.mu.Unlock()
			var p heartbeat.Packet
			if codec.Open(b, &p) == nil {
				w.heard = append(w.heard, Heard{time.Now(), p, bytes.Clone(b)})
				w.last = append(w.last[:0], b...)
			}
		})
	}()
	w.Close = sync.OnceFunc(func() {
		cancel()
		<-ended
		_ = conn.Close()
	})
	c.t.Cleanup(w.Close)
	return w
}

// Heard is what was heard so far.
func (w *Wire) Heard() []Heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard[:len(w.heard):len(w.heard)]
}

// Last is a copy of the last good datagram.
func (w *Wire) Last() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]byte(nil), w.last...)
}

// Hears waits until one instance tells the group that it hears another: only
// then can it become that one's heir.
func (c *Cluster) Hears(who, whom *Instance) {
	c.t.Helper()
	w := c.Wire(c.keys...)
	from, of := who.MustStatus().Instance.ID, whom.MustStatus().Instance.ID
	Wait(c.t, who.Name+" hears "+whom.Name, 10*time.Second, func() bool {
		return slices.ContainsFunc(w.Heard(), func(h Heard) bool {
			return h.Packet.Instance.String() == from && slices.ContainsFunc(h.Packet.Heard, func(e heartbeat.Heard) bool {
				return hex.EncodeToString(e.Instance[:]) == of[:16]
			})
		})
	})
}
