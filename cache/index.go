package cache

import "hash/maphash"

// index finds entries by key. It is a hash table of its own because half of
// the time of a put went into a map of strings: here a probe that does not fit
// costs no look at another key, and a place holds the entry itself.
//
// Places are probed one after the other; a removal moves back what follows.
// 256 parts grow apart from each other, so that no put waits for a copy of all.
type index struct {
	parts [256]part
}

type part struct {
	places []place // a power of two, at most three quarters full
	used   int
}

type place struct {
	hash uint64
	e    *entry // nil: free
}

// seed is another one in each process, so that nobody can choose keys that meet.
var seed = maphash.MakeSeed()

func hashOf(key string) uint64 { return maphash.String(seed, key) }

// of is the part that a hash belongs to, and the place to look first.
func (x *index) of(hash uint64) (p *part, at int) {
	p = &x.parts[hash>>56]
	return p, int(hash) & (len(p.places) - 1)
}

func (x *index) get(key string) *entry { return x.find(hashOf(key), key) }

// find is get for who knows the key's hash.
func (x *index) find(hash uint64, key string) *entry {
	p, at := x.of(hash)
	if p.used == 0 {
		return nil
	}
	for {
		s := &p.places[at]
		if s.e == nil {
			return nil
		}
		if s.hash == hash && s.e.key() == key {
			return s.e
		}
		at = (at + 1) & (len(p.places) - 1)
	}
}

// near is the entry at the place where a key of that hash would be looked for
// first: most often that key's. To look there fetches it from memory.
func (x *index) near(hash uint64) *entry {
	p, at := x.of(hash)
	if p.used == 0 {
		return nil
	}
	return p.places[at].e
}

// add adds an entry whose key is not there.
func (x *index) add(e *entry) {
	hash := hashOf(e.key())
	p, _ := x.of(hash)
	if 4*(p.used+1) > 3*len(p.places) {
		old := p.places
		p.places = make([]place, max(8, 2*len(old)))
		for _, s := range old {
			if s.e != nil {
				p.put(s)
			}
		}
	}
	p.put(place{hash, e})
	p.used++
}

func (p *part) put(s place) {
	mask := len(p.places) - 1
	at := int(s.hash) & mask
	for p.places[at].e != nil {
		at = (at + 1) & mask
	}
	p.places[at] = s
}

// replace puts an entry in the place of one with the same key.
func (x *index) replace(old, e *entry) {
	p, at := x.of(hashOf(old.key()))
	for p.places[at].e != old {
		at = (at + 1) & (len(p.places) - 1)
	}
	p.places[at].e = e
}

// remove removes an entry that is there.
func (x *index) remove(e *entry) {
	hash := hashOf(e.key())
	p, at := x.of(hash)
	mask := len(p.places) - 1
	for p.places[at].e != e {
		at = (at + 1) & mask
	}
	p.used--
	// What was pushed past this place comes back.
	for next := (at + 1) & mask; p.places[next].e != nil; next = (next + 1) & mask {
		home := int(p.places[next].hash) & mask
		if (next-home)&mask >= (next-at)&mask {
			p.places[at] = p.places[next]
			at = next
		}
	}
	p.places[at] = place{}
}
