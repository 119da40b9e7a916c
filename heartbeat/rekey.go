package heartbeat

// KeyIDs is the ids of the codec's keys, as packets carry them; the first signs.
// An id tells keys apart and gives none of them away.
func (c *Codec) KeyIDs() []byte {
	ids := make([]byte, len(c.keys))
	for i := range c.keys {
		ids[i] = c.keys[i].id
	}
	return ids
}
