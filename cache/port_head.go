package cache

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Types of memberlist's messages, as far as they are looked at.
const (
	gossipPing       = 0
	gossipAck        = 2
	gossipDead       = 5
	gossipPushPull   = 6
	gossipCompound   = 7
	gossipUser       = 8
	gossipCompressed = 9
	gossipEncrypted  = 10
	gossipNack       = 11
	gossipCRC        = 12
	gossipError      = 13
)

const (
	// A push/pull of more is refused: with a few bytes anyone could have
	// memberlist allocate 100 MiB.
	maxGossipNodes  = 1024
	maxGossipState  = 4 << 10 // ours is a digest
	maxGossipStream = 512 << 10
	maxGossipNode   = 1 << 10 // of one member in it
	// headSize holds a label, a type and the header of a push/pull.
	headSize = 512
	// explainTime bounds the answer to gossip that is refused.
	explainTime = 500 * time.Millisecond
	// sealedMin is what encryption adds to a datagram.
	sealedMin = 29
)

var (
	errNoGossip = errors.New("gossip is not running")
	errHead     = errors.New("refused by what it begins with")
	errEndless  = errors.New("refused: it does not end")
)

// checkDatagram looks at a datagram before memberlist does. Without a key it
// looks inside: what is compressed would be unpacked to 40 MiB by a few bytes
// from anyone, and no instance sends that.
func checkDatagram(b []byte, label string, keyed bool) unwelcome {
	switch {
	case len(b) > maxDatagram:
		return refuseTooLarge
	case len(b) < 2 || b[0] != firstLabel && b[0] > lastGossip:
		return refuseMalformed
	case b[0] != firstLabel:
		return refuseCluster
	}
	n := int(b[1])
	if n == 0 || len(b) < 2+n+1 {
		return refuseMalformed
	}
	if string(b[2:2+n]) != label {
		return refuseCluster
	}
	b = b[2+n:]
	if keyed {
		if b[0] > 1 || len(b) < sealedMin {
			return refuseKey
		}
		return refuseNone
	}
	if b[0] == gossipCRC {
		if b = b[1:]; len(b) < 5 {
			return refuseMalformed
		}
		b = b[4:]
	}
	if b[0] != gossipCompound {
		return checkMessage(b)
	}
	if b = b[1:]; len(b) < 1 {
		return refuseMalformed
	}
	parts := int(b[0])
	lengths := b[1:]
	if len(lengths) < 2*parts {
		return refuseMalformed
	}
	rest := lengths[2*parts:]
	for i := range parts {
		n := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if n == 0 || n > len(rest) {
			return refuseMalformed
		}
		if why := checkMessage(rest[:n]); why != refuseNone {
			return why
		}
		rest = rest[n:]
	}
	return refuseNone
}

// checkMessage looks at one message of a datagram in the clear, which is not
// empty.
func checkMessage(b []byte) unwelcome {
	switch {
	case b[0] <= gossipDead || b[0] == gossipNack:
		return refuseNone
	case b[0] == gossipUser && len(b) == 1+byeSize:
		return refuseNone
	case b[0] == gossipEncrypted:
		return refuseKey
	case b[0] <= lastGossip:
		return refuseGossip
	}
	return refuseMalformed
}

// checkStream looks at the beginning of a gossip stream. most is how many bytes
// it may have after that, 0 if it is not clear yet what it is. reply is for the
// answer on a stream that we opened, which has no label.
func checkStream(b []byte, label string, keyed, reply bool) (why unwelcome, most int) {
	if !reply {
		switch {
		case len(b) == 0:
			return refuseNone, 0
		case b[0] > lastGossip && b[0] != firstLabel:
			return refuseMalformed, 0
		case b[0] != firstLabel:
			return refuseCluster, 0
		case len(b) < 2:
			return refuseNone, 0
		case int(b[1]) != len(label):
			return refuseCluster, 0
		case len(b) < 2+len(label):
			return refuseNone, 0
		case string(b[2:2+len(label)]) != label:
			return refuseCluster, 0
		}
		b = b[2+len(label):]
	}
	if len(b) == 0 {
		return refuseNone, 0
	}
	kind, b := b[0], b[1:]
	switch {
	case reply && kind == gossipError: // why the other end refuses us
		return refuseNone, maxGossipNode
	case keyed && kind == gossipEncrypted:
		if len(b) < 4 {
			return refuseNone, 0
		}
		if binary.BigEndian.Uint32(b) > maxGossipStream {
			return refuseTooLarge, 0
		}
		return refuseNone, maxGossipStream
	case keyed || kind == gossipEncrypted:
		return refuseKey, 0
	case kind == gossipPushPull:
		return checkPushPull(b)
	case kind == gossipPing && !reply || kind == gossipAck && reply:
		return refuseNone, maxGossipNode
	case kind > lastGossip:
		return refuseMalformed, 0
	}
	return refuseGossip, 0
}

// checkPushPull reads the header of a push/pull, which is a small msgpack map
// of numbers and flags, and refuses great numbers.
func checkPushPull(b []byte) (why unwelcome, most int) {
	if len(b) == 0 {
		return refuseNone, 0
	}
	if b[0] < 0x80 || b[0] > 0x88 { // a map of up to 8
		return refuseMalformed, 0
	}
	most = maxGossipState
	fields, b := int(b[0]&0x0f), b[1:]
	for range fields {
		if len(b) == 0 {
			return refuseNone, 0
		}
		if b[0] < 0xa0 || b[0] > 0xbf { // a string of up to 31 bytes
			return refuseMalformed, 0
		}
		n := int(b[0] & 0x1f)
		if len(b) < 1+n+1 {
			return refuseNone, 0
		}
		name := string(b[1 : 1+n])
		b = b[1+n:]
		v, size := smallNumber(b)
		switch {
		case size == 0:
			return refuseMalformed, 0
		case len(b) < size:
			return refuseNone, 0
		case name == "Nodes" && v > maxGossipNodes, name == "UserStateLen" && v > maxGossipState:
			return refuseTooLarge, 0
		case name == "Nodes":
			most = maxGossipState + int(v)*maxGossipNode
		}
		b = b[size:]
	}
	return refuseNone, min(most, maxGossipStream)
}

// smallNumber reads a msgpack flag or unsigned number. size is 0 for anything
// else, and may be more than there is.
func smallNumber(b []byte) (v uint64, size int) {
	switch {
	case b[0] <= 0x7f:
		return uint64(b[0]), 1
	case b[0] == 0xc0 || b[0] == 0xc2 || b[0] == 0xc3: // nil, false, true
		return 0, 1
	}
	var n int
	switch b[0] {
	case 0xcc, 0xd0:
		n = 1
	case 0xcd, 0xd1:
		n = 2
	case 0xce, 0xd2:
		n = 4
	case 0xcf, 0xd3:
		n = 8
	default:
		return 0, 0
	}
	if len(b) < 1+n {
		return 0, 1 + n
	}
	for _, c := range b[1 : 1+n] {
		v = v<<8 | uint64(c)
	}
	return v, 1 + n // a negative one is either great, or small and refused by memberlist
}

// headed is a connection whose beginning was read, and is read again by the
// next owner. A gossip stream also has an end.
type headed struct {
	net.Conn
	head []byte          // read, and not yet read again
	left int             // how much more may be read, and 1; 0: any
	over func(unwelcome) // told once why reading ended; nil: nobody

	// Of a stream that we opened: the answer is checked at the first Read.
	reply, keyed bool

	once   sync.Once
	closed func()
}

// NetConn is the connection below, as in crypto/tls.
func (c *headed) NetConn() net.Conn { return c.Conn }

// first reads the first byte.
func (c *headed) first() (unwelcome, error) {
	c.head = make([]byte, 0, headSize)
	return c.more(1)
}

// more reads on, up to most bytes at once. Silence is refused; an end is none
// of our business.
func (c *headed) more(most int) (unwelcome, error) {
	n, err := c.Conn.Read(c.head[len(c.head):min(len(c.head)+most, cap(c.head))])
	c.head = c.head[:len(c.head)+n]
	switch {
	case n > 0:
		return refuseNone, nil
	case isTimeout(err):
		return refuseSlow, nil
	case err == nil:
		err = io.ErrNoProgress
	}
	return refuseNone, err
}

// check reads until it is clear what the gossip stream is.
func (c *headed) check(label string, keyed, reply bool) (unwelcome, error) {
	for {
		why, most := checkStream(c.head, label, keyed, reply)
		if why != refuseNone || most > 0 {
			c.left = most
			return why, nil
		}
		if len(c.head) == cap(c.head) {
			return refuseMalformed, nil
		}
		if why, err := c.more(headSize); why != refuseNone || err != nil {
			return why, err
		}
	}
}

func (c *headed) Read(b []byte) (int, error) {
	if c.reply {
		c.reply = false
		c.head = make([]byte, 0, headSize)
		why, err := c.check("", c.keyed, true)
		if why == refuseSlow {
			why, err = refuseNone, errNoAnswer
		}
		if (why == refuseMalformed || why == refuseKey) && c.head[0] == obituaryMagic[0] {
			why, err = refuseNone, errDead // its keeper answers: no reason for a line in the log
		}
		if why != refuseNone {
			c.tell(why)
			err = errHead
		}
		if err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.left == 0 {
		return c.Conn.Read(b)
	}
	if c.left == 1 {
		c.tell(refuseTooLarge)
		return 0, errEndless
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left-1)])
	c.left -= n
	return n, err
}

func (c *headed) tell(why unwelcome) {
	if c.over != nil {
		c.over(why)
	}
}

// Close may be called more than once.
func (c *headed) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		if c.closed != nil {
			c.closed()
		}
	})
	return err
}

// explain tells the other end why its gossip is refused, in memberlist's words:
// an operator looks at the log of the instance that does not come in. What the
// other end is still sending must be read meanwhile: a connection closed over
// unread bytes is reset, and the answer is lost.
func (c *headed) explain(why unwelcome, keyed bool) {
	text := "this is another cluster"
	switch {
	case why == refuseKey && keyed:
		text = "this cluster has a key, and you have none"
	case why == refuseKey:
		text = "this cluster has no key"
	}
	b := []byte{gossipError, 0x81, 0xa0 | 5, 'E', 'r', 'r', 'o', 'r', 0xda, 0, byte(len(text))}
	_ = c.SetDeadline(time.Now().Add(explainTime))
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.CopyN(io.Discard, c.Conn, maxGossipStream) })
	if _, err := c.Write(append(b, text...)); err == nil {
		if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = t.CloseWrite()
		}
	}
	wg.Wait()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
