package cache

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// What gossip carries of ours: a few facts about each instance, told by itself
// (the node's meta), and the state of its copy, exchanged in pairs (the digest).
//
//	meta                                digest
//	 0  1  version, 1                    0  1  version, 1
//	 1  8  cluster tag                   1 16  instance
//	 9  1  flags: 1 master              17  8  epoch of the last record
//	10  8  epoch of the reign           25  8  number of the last record
//	18 16  instance of the reign        33  8  entries
//	34  2  port of streams              41  8  hash of the entries
//	36  1  length of the name
//	37  …  name, UTF-8
//
// The reign is the own one of a master; of a slave the one that it follows, or,
// with Config.TellPromise, that it is promised to.
//
// Numbers are big endian. Bytes after the last field are skipped: a later
// version may add some.
const (
	metaVersion = 1
	metaMin     = 37
	nameMax     = 63
	digestSize  = 49

	flagMaster = 1
)

var (
	errMeta        = errors.New("not the meta of an instance")
	errMetaCluster = errors.New("meta of another cluster")
	errMetaVersion = errors.New("meta of another version")
)

type meta struct {
	Tag    [8]byte
	Master bool
	Reign  Reign
	Port   uint16
	Name   string
}

// deriveKey makes the key of one purpose from a key of the cluster.
func deriveKey(key [32]byte, cluster, purpose string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, key[:], []byte(cluster), "interlok-ha/1 "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %s: %w", purpose, err)
	}
	return b, nil
}

func (m *meta) append(b []byte) []byte {
	b = append(b, metaVersion)
	b = append(b, m.Tag[:]...)
	var flags byte
	if m.Master {
		flags |= flagMaster
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, m.Reign.Epoch)
	b = append(b, m.Reign.Instance[:]...)
	b = binary.BigEndian.AppendUint16(b, m.Port)
	name := m.Name[:min(len(m.Name), nameMax)]
	b = append(b, byte(len(name)))
	return append(b, name...)
}

func parseMeta(b []byte, tag [8]byte) (m meta, err error) {
	if len(b) < metaMin {
		return m, errMeta
	}
	if b[0] != metaVersion {
		return m, errMetaVersion
	}
	if [8]byte(b[1:9]) != tag {
		return m, errMetaCluster
	}
	n := int(b[36])
	if n > nameMax || len(b) < metaMin+n {
		return m, errMeta
	}
	name := string(b[metaMin : metaMin+n])
	if !utf8.ValidString(name) {
		return m, errMeta
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return m, errMeta
		}
	}
	return meta{
		Tag: tag, Master: b[9]&flagMaster != 0,
		Reign: Reign{Epoch: binary.BigEndian.Uint64(b[10:]), Instance: InstanceID(b[18:34])},
		Port:  binary.BigEndian.Uint16(b[34:]), Name: name,
	}, nil
}

// digest is the state of a copy. Two copies of one Pos with another Count or
// Hash differ.
type digest struct {
	Pos   Pos
	Count uint64
	Hash  uint64
}

func (d *digest) append(b []byte, id InstanceID) []byte {
	b = append(b, metaVersion)
	b = append(b, id[:]...)
	for _, v := range [...]uint64{d.Pos.Epoch, d.Pos.N, d.Count, d.Hash} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func parseDigest(b []byte) (id InstanceID, d digest, err error) {
	if len(b) < digestSize || b[0] != metaVersion {
		return id, d, errors.New("not a digest")
	}
	u := binary.BigEndian.Uint64
	return InstanceID(b[1:17]), digest{Pos{u(b[17:]), u(b[25:])}, u(b[33:]), u(b[41:])}, nil
}

// parseInstance reads the name that an instance has in gossip.
func parseInstance(s string) (id InstanceID, ok bool) {
	if len(s) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil && !id.IsZero() && id.String() == s
}
