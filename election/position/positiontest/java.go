package positiontest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// java is one Java instance: what com.adaptris.failover.FailoverManager, its
// monitor thread and its broadcaster do. Names follow the original where that
// helps to compare. Times are its wall clock.
type java struct {
	n        *node
	id       string // UUID as text
	raw      [16]byte
	primary  bool
	position int
	current  *online // the primary it knows
	others   []*online
}

type online struct {
	id       string
	position int
	last     time.Duration
}

const (
	javaListen  = 5 * time.Second // Thread.sleep(5000) in start()
	javaMonitor = 5 * time.Second
)

func uuidText(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func newJava(n *node, id [16]byte, position int) *java {
	return &java{n: n, id: uuidText(id), raw: id, position: position}
}

// start schedules the first poll and the first ping.
func (j *java) start() {
	every := j.n.pingEvery()
	j.n.later(javaListen+javaMonitor, j.poll)
	j.n.later(javaListen+every, j.ping)
}

func (j *java) ping() {
	j.n.later(j.n.pingEvery(), j.ping)
	j.n.s.transmit(j.n, j.bytes())
}

func (j *java) bytes() []byte {
	b := make([]byte, 70)
	copy(b, j.n.host())
	copy(b[40:], "0")
	copy(b[46:], j.raw[:])
	kind := uint32(2)
	if j.primary {
		kind = 1
	}
	binary.BigEndian.PutUint32(b[62:], kind)
	binary.BigEndian.PutUint32(b[66:], uint32(j.position))
	return b
}

// hear is createPingRecord and the two events.
func (j *java) hear(b []byte) {
	id := uuidText([16]byte(b[46:62]))
	kind := binary.BigEndian.Uint32(b[62:])
	position := int(binary.BigEndian.Uint32(b[66:]))
	if strings.Trim(string(b[:40]), "\x00") == "" {
		panic("a ping without a host")
	}
	if kind == 1 {
		j.primaryPinged(id)
		return
	}
	j.secondaryPinged(id, position)
}

func (j *java) primaryPinged(id string) {
	if j.current == nil {
		j.current = &online{id: id}
	}
	j.others = slices.DeleteFunc(j.others, func(o *online) bool { return o.id == id })
	if j.current.id == j.id {
		if id != j.id {
			j.n.s.javaExits(j.n, id)
		}
		return
	}
	j.current.id, j.current.last = id, j.n.s.now
}

func (j *java) secondaryPinged(id string, position int) {
	i := slices.IndexFunc(j.others, func(o *online) bool { return o.id == id })
	if i < 0 {
		j.others = append(j.others, &online{id: id})
		i = len(j.others) - 1
	}
	j.others[i].last, j.others[i].position = j.n.s.now, position
}

// poll is pollTriggered: the monitor's look each five seconds.
func (j *java) poll() {
	j.n.later(javaMonitor, j.poll)
	if !j.primary && !j.assign() {
		j.promotion()
	}
	j.others = slices.DeleteFunc(j.others, func(o *online) bool { return j.timedOut(o.last) })
}

// assign is assignSecondaryNumber.
func (j *java) assign() bool {
	need := j.position == 0
	for _, o := range j.others {
		if o.position == 0 || o.position == j.position {
			need = true
		}
	}
	if !need {
		return false
	}
	ids := []string{j.id}
	for _, o := range j.others {
		ids = append(ids, o.id)
	}
	slices.Sort(ids)
	j.position = slices.Index(ids, j.id) + 1
	j.n.s.logf("%s takes position %d", j.n.spec.Name, j.position)
	return true
}

// promotion is checkPromotion.
func (j *java) promotion() {
	if j.position == 1 {
		if j.current == nil || j.timedOut(j.current.last) {
			j.primary, j.position = true, 0
			j.current = &online{id: j.id}
			j.n.s.promoted(j.n)
			j.n.setWorking(true)
		}
		return
	}
	for _, o := range j.others {
		if o.position == j.position-1 {
			if j.timedOut(o.last) {
				j.position--
			}
			return
		}
	}
	j.position--
	j.n.s.logf("%s moves up to %d", j.n.spec.Name, j.position)
}

func (j *java) timedOut(last time.Duration) bool {
	return last < j.n.s.now-j.n.s.sc.Timeout
}
