package cache

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

const (
	keyIDSize     = 4
	streamKeyInfo = "interlok-ha/1 stream"
)

// streamKey proves one shared key on streams. It is derived, so that the key
// itself is used for nothing else, and differs between clusters.
type streamKey struct {
	id  [keyIDSize]byte // tells keys apart; it is no secret
	mac [sha256.Size]byte
}

func streamKeys(cluster string, keys [][32]byte) ([]streamKey, error) {
	list := make([]streamKey, 0, len(keys))
	for _, key := range keys {
		b, err := hkdf.Key(sha256.New, key[:], []byte(cluster), streamKeyInfo, sha256.Size+keyIDSize)
		if err != nil {
			return nil, fmt.Errorf("cache: derive the key of streams: %w", err)
		}
		list = append(list, streamKey{mac: [sha256.Size]byte(b), id: [keyIDSize]byte(b[sha256.Size:])})
	}
	return list, nil
}

// prove is the proof that one end has the key, on one connection.
func (k streamKey) prove(role string, binding []byte) []byte {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write([]byte(role))
	h.Write(binding)
	return h.Sum(nil)
}

func holds(list []streamKey, k streamKey) bool {
	for i := range list {
		if hmac.Equal(list[i].mac[:], k.mac[:]) {
			return true
		}
	}
	return false
}
