package cache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/internal/mcast"
)

// The beacon tells everyone on the network segment where a cache is, so that
// nobody has to list the peers.
//
//	 0  4  "ILHB"
//	 4  1  version, 1
//	 5  1  id of the key; 0: not signed
//	 6  2  length of the datagram
//	 8  8  cluster tag
//	16 16  instance
//	32 16  address, IPv4 as ::ffff:a.b.c.d
//	48  2  port
//	50  …  skipped
//	 …  16 with a key: HMAC-SHA-256 of all that is before it, its first half
//
// Numbers are big endian. It is a hint: who hears one dials the address, and
// gossip proves the key there. A recorded one costs a vain dial.
const (
	beaconVersion = 1
	beaconSize    = 50
	beaconTag     = 16
	beaconEvery   = 5 * time.Second
	beaconRetry   = 10 * time.Second // after sockets could not be opened, or failed
	beaconMAC     = "beacon-mac"
)

var (
	beaconMagic = [4]byte{'I', 'L', 'H', 'B'}
	// beaconStart are the pauses after start.
	beaconStart = []time.Duration{300 * time.Millisecond, 500 * time.Millisecond}

	errNotBeacon = errors.New("not a beacon")
)

// beaconConn is what the beacon needs of [mcast.Conn].
type beaconConn interface {
	Multicast(b []byte) error
	Run(ctx context.Context, fn func(b []byte, from netip.AddrPort, multicast bool)) error
	Close() error
}

var _ beaconConn = (*mcast.Conn)(nil)

type beacon struct {
	cfg   *Config
	port  *port
	count *counters
	learn func(netip.AddrPort)
	tag   [8]byte
	open  func() (beaconConn, error)

	mu   sync.Mutex // guards keys
	keys []beaconKey
}

type beaconKey struct {
	id  byte // not 0
	mac []byte
}

func newBeacon(cfg *Config, p *port, count *counters, learn func(netip.AddrPort)) *beacon {
	b := &beacon{cfg: cfg, port: p, count: count, learn: learn, tag: clusterTag(cfg.Cluster)}
	b.open = func() (beaconConn, error) {
		return mcast.Open(mcast.Config{
			Group: cfg.Beacon.Group, Port: cfg.Beacon.Port, Interface: cfg.Beacon.Interface, TTL: cfg.Beacon.TTL,
			LeavePort: true, // nobody sends to this instance alone
		})
	}
	return b
}

func (b *beacon) setKeys(keys [][32]byte) error {
	list := make([]beaconKey, 0, len(keys))
	for _, k := range keys {
		mac, err := deriveKey(k, b.cfg.Cluster, beaconMAC)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(mac)
		list = append(list, beaconKey{id: sum[0] | 1, mac: mac})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = list
	return nil
}

func (b *beacon) snapshot() []beaconKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys
}

// run sends and hears beacons until ctx ends. Without a network it waits for
// one.
func (b *beacon) run(ctx context.Context) {
	for {
		err := b.once(ctx)
		if ctx.Err() != nil {
			return
		}
		b.port.lines.line(zerolog.WarnLevel, "beacon").Err(err).Msg("Cache beacon has no network; trying again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(beaconRetry)):
		}
	}
}

func (b *beacon) once(ctx context.Context) error {
	conn, err := b.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { b.send(ctx, conn) })
	err = conn.Run(ctx, func(d []byte, from netip.AddrPort, _ bool) { b.hear(d, from) })
	cancel()
	wg.Wait()
	return err
}

func (b *beacon) send(ctx context.Context, conn beaconConn) {
	for i := 0; ; i++ {
		if err := conn.Multicast(b.append(nil)); err != nil && ctx.Err() == nil {
			b.port.lines.line(zerolog.DebugLevel, "beacon send").Err(err).Msg("Cache beacon was not sent")
		}
		pause := beaconEvery*4/5 + rand.N(beaconEvery*2/5)
		if i < len(beaconStart) {
			pause = beaconStart[i]
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (b *beacon) hear(d []byte, from netip.AddrPort) {
	id, addr, why, err := b.parse(d)
	switch {
	case err != nil: // heartbeats may use the same group
	case why != refuseNone:
		b.count.refused(why)
		if why == refuseCluster { // clusters may share the group
			b.port.lines.line(zerolog.InfoLevel, "beacon "+why.String()).Stringer("from", from).Msg("Passed over the cache beacon of another cluster")
			return
		}
		b.port.lines.line(zerolog.WarnLevel, "beacon "+why.String()).Stringer("from", from).Str("why", why.String()).Msg("Refused a cache beacon")
	case id != b.cfg.Instance:
		b.learn(addr)
	}
}

// append writes this instance's beacon.
func (b *beacon) append(d []byte) []byte {
	keys := b.snapshot()
	var id byte
	size := beaconSize
	if len(keys) > 0 {
		id, size = keys[0].id, beaconSize+beaconTag
	}
	d = append(d, beaconMagic[:]...)
	d = append(d, beaconVersion, id)
	d = binary.BigEndian.AppendUint16(d, uint16(size))
	d = append(d, b.tag[:]...)
	d = append(d, b.cfg.Instance[:]...)
	at := b.port.addr()
	ip := at.Addr().As16()
	d = append(d, ip[:]...)
	d = binary.BigEndian.AppendUint16(d, at.Port())
	if len(keys) > 0 {
		d = append(d, beaconSum(keys[0].mac, d)...)
	}
	return d
}

func beaconSum(key, d []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(d)
	return h.Sum(nil)[:beaconTag]
}

// parse reads a beacon. err is for what is none, why for one that is refused.
func (b *beacon) parse(d []byte) (id InstanceID, addr netip.AddrPort, why unwelcome, err error) {
	if len(d) < beaconSize || [4]byte(d) != beaconMagic || d[4] != beaconVersion {
		return id, addr, refuseNone, errNotBeacon
	}
	if int(binary.BigEndian.Uint16(d[6:])) != len(d) {
		return id, addr, refuseMalformed, nil
	}
	if [8]byte(d[8:16]) != b.tag {
		return id, addr, refuseCluster, nil
	}
	if keys := b.snapshot(); len(keys) > 0 || d[5] != 0 {
		if !b.signed(d, keys) {
			return id, addr, refuseKey, nil
		}
		d = d[:len(d)-beaconTag]
	}
	return InstanceID(d[16:32]), netip.AddrPortFrom(netip.AddrFrom16([16]byte(d[32:48])).Unmap(), binary.BigEndian.Uint16(d[48:])), refuseNone, nil
}

func (b *beacon) signed(d []byte, keys []beaconKey) bool {
	if len(d) < beaconSize+beaconTag {
		return false
	}
	end := len(d) - beaconTag
	for _, k := range keys {
		if k.id == d[5] && hmac.Equal(beaconSum(k.mac, d[:end]), d[end:]) {
			return true
		}
	}
	return false
}
