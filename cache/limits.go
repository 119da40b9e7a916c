package cache

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Why a connection is refused, besides what a stream can end with.
// [doorman.note] counts by them.
var (
	errWrongKey = errors.New("cache: the other end has none of our keys, or is of another cluster")
	errNeedsKey = errors.New("cache: in the clear, but this cluster has a key")
	errHasNoKey = errors.New("cache: encrypted at one end only, the other has no key")
	errSlow     = errors.New("cache: took too long")
	errCrowded  = errors.New("cache: too many connections at once")
)

// limit bounds how many strangers are dealt with at once. When it is full a
// newcomer takes the place of the oldest, if that one had time enough: who opens
// connections and says nothing then keeps nobody out. Safe for concurrent use.
type limit struct {
	max int

	mu sync.Mutex // guards in, and the turns' gone
	in []*turn    // oldest first
}

// fairTime is longer than a handshake takes on a busy machine.
const fairTime = 100 * time.Millisecond

// turn is one connection's stay.
type turn struct {
	limit *limit
	conn  net.Conn
	since time.Time
	gone  bool // pushed out
}

func newLimit(most int) *limit { return &limit{max: most} }

// enter lets conn in, or says that there is no room. Call leave afterwards.
func (l *limit) enter(conn net.Conn) (t *turn, ok bool) {
	now := time.Now()
	var out *turn
	l.mu.Lock()
	if len(l.in) >= l.max {
		if now.Sub(l.in[0].since) < fairTime {
			l.mu.Unlock()
			return nil, false
		}
		out = l.in[0]
		out.gone = true
		l.in = append(l.in[:0], l.in[1:]...)
	}
	t = &turn{limit: l, conn: conn, since: now}
	l.in = append(l.in, t)
	l.mu.Unlock()
	if out != nil {
		_ = out.conn.Close()
	}
	return t, true
}

// leave ends the stay. It reports whether a newcomer pushed it out, and so
// closed its connection.
func (t *turn) leave() (pushedOut bool) {
	l := t.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.in {
		if l.in[i] == t {
			l.in = append(l.in[:i], l.in[i+1:]...)
			break
		}
	}
	return t.gone
}

// doorman counts what was refused, and logs it: one line a minute for each
// cause and address, and no more than maxWarned. Safe for concurrent use.
type doorman struct {
	log    zerolog.Logger
	counts [refusalCauses]atomic.Uint64

	mu    sync.Mutex // guards what follows
	since time.Time
	told  map[rebuff]struct{}
}

type rebuff struct {
	cause int
	from  netip.Addr
}

const (
	warnEvery = time.Minute
	maxWarned = 64
)

const (
	refusedMalformed = iota
	refusedKey
	refusedCluster
	refusedTooLarge
	refusedSlow
	refusedBusy
	refusalCauses
)

var rebuffs = []struct {
	err   error
	cause int
	text  string
}{
	{errWrongKey, refusedKey, "Refused a stream: its other end has another key, or is of another cluster; compare failover.key and failover.cluster"},
	{errNeedsKey, refusedKey, "Refused a stream in the clear; does its other end have failover.key?"},
	{errHasNoKey, refusedKey, "Refused an encrypted stream; one end has failover.key and the other has not"},
	{errCluster, refusedCluster, "Refused a stream of another cluster"},
	{ErrTooLarge, refusedTooLarge, "Refused a stream that said more than it may"},
	{errSlow, refusedSlow, "Refused a stream whose other end was too slow"},
	{errCrowded, refusedBusy, "Refused a stream: too many came at once"},
	{errBusy, refusedBusy, "Refused a slave: this instance has as many as it can serve"},
	{errMalformed, refusedMalformed, "Refused what is not a stream of this protocol"},
	{errChecksum, refusedMalformed, "Refused a stream that is damaged"},
	{errVersion, refusedMalformed, "Refused a stream of an unknown version; do all instances run the same release?"},
}

func newDoorman(log zerolog.Logger) *doorman {
	return &doorman{log: log, told: make(map[rebuff]struct{}, maxWarned)}
}

// note counts that a connection from there was refused for err. What is none of
// the errors above is not counted: then the connection broke by itself.
func (d *doorman) note(from net.Addr, err error) {
	for _, known := range rebuffs {
		if !errors.Is(err, known.err) {
			continue
		}
		d.counts[known.cause].Add(1)
		var addr netip.Addr
		if ap, err := netip.ParseAddrPort(from.String()); err == nil {
			addr = ap.Addr().Unmap()
		}
		if d.allows(rebuff{known.cause, addr}) {
			d.log.Warn().Err(err).Stringer("from", from).Msg(known.text)
		}
		return
	}
}

func (d *doorman) allows(k rebuff) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.since) >= warnEvery {
		clear(d.told)
		d.since = now
	}
	if _, told := d.told[k]; told || len(d.told) >= maxWarned {
		return false
	}
	d.told[k] = struct{}{}
	return true
}

// fill writes the counts into c.
func (d *doorman) fill(c *Counters) {
	c.RefusedMalformed = d.counts[refusedMalformed].Load()
	c.RefusedKey = d.counts[refusedKey].Load()
	c.RefusedCluster = d.counts[refusedCluster].Load()
	c.RefusedTooLarge = d.counts[refusedTooLarge].Load()
	c.RefusedSlow = d.counts[refusedSlow].Load()
	c.RefusedBusy = d.counts[refusedBusy].Load()
}
