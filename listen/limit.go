package listen

import (
	"hash/maphash"
	"net/netip"
	"time"
)

const (
	// An address may bring floodRate new instances per second, and floodBurst at
	// once: as many instances as an election knows may start, or be heard first,
	// at one moment on one host.
	floodRate  = 10
	floodBurst = 256

	warnEvery = time.Minute
	maxWarned = 64 // lines in that time, whatever the number of sources
)

// floods bounds the new instances of each source address with token buckets.
// Addresses share them by a hash that nobody outside can aim at, so that the
// memory does not grow with the number of addresses.
type floods struct {
	seed    maphash.Seed
	buckets []bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newFloods() floods {
	return floods{seed: maphash.MakeSeed(), buckets: make([]bucket, 256)}
}

func (f *floods) admit(from netip.Addr, now time.Time) bool {
	raw := from.As16()
	b := &f.buckets[maphash.Bytes(f.seed, raw[:])%uint64(len(f.buckets))]
	if b.at.IsZero() {
		b.left = floodBurst
	} else {
		b.left = min(floodBurst, b.left+now.Sub(b.at).Seconds()*floodRate)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// warner lets one line per minute, cause and source address through.
type warner struct {
	since time.Time
	told  map[warning]struct{}
}

type warning struct {
	cause Cause
	from  netip.Addr
}

func newWarner() warner { return warner{told: make(map[warning]struct{}, maxWarned)} }

func (w *warner) allows(c Cause, from netip.Addr, now time.Time) bool {
	if now.Sub(w.since) >= warnEvery {
		clear(w.told)
		w.since = now
	}
	k := warning{c, from}
	if _, told := w.told[k]; told || len(w.told) >= maxWarned {
		return false
	}
	w.told[k] = struct{}{}
	return true
}
