package workload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Obituary is what a keeper may tell of its node, and where: see the package
// comment. At most one run of a process at a time may have one, since it speaks
// for all that the node ran.
type Obituary struct {
	// Listener is a copy of the node's listening TCP socket. Whoever made the
	// copy closes it, once the run was started.
	Listener *os.File
	// Instance is the node's, and Secret is what proves that the keeper speaks.
	Instance [16]byte
	Secret   [32]byte
	// Linger is how long after the node's death the keeper answers, and how
	// long it waits for that death once the node's pipe is closed.
	Linger time.Duration
}

const (
	obituaryMagic = "ILHO"
	obituarySize  = 4 + 16 + 32 + 8
	testamentSize = 16 + 32 // what the keeper inherits: instance and secret
)

func (o *Obituary) validate() error {
	var faults []error
	if o.Listener == nil {
		faults = append(faults, errors.New("listener: none given"))
	}
	if o.Linger <= 0 {
		faults = append(faults, fmt.Errorf("linger: %v is not positive", o.Linger))
	}
	return errors.Join(faults...)
}

func (o *Obituary) testament() []byte {
	return append(append(make([]byte, 0, testamentSize), o.Instance[:]...), o.Secret[:]...)
}

// putObituary writes what is told to whoever dials.
func putObituary(b *[obituarySize]byte, testament *[testamentSize]byte, age time.Duration) {
	copy(b[:4], obituaryMagic)
	copy(b[4:52], testament[:])
	binary.BigEndian.PutUint64(b[52:], uint64(max(age, 0)))
}

// bareMark is in the environment of a bare keeper, which starts nothing.
const bareMark = "INTERLOK_HA_BARE_KEEPER"

// UnderBareKeeper reports whether environ is that of a process that descends
// from a bare keeper. Then the keeper is none: it is a program whose main does
// not call KeeperMain and went on to start others, like a test. Whoever would
// start a keeper there starts the whole again, and again.
func UnderBareKeeper(environ []string) bool {
	return slices.Contains(environ, bareMark+"=1")
}
