package cache

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

var gossipTag = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}

func gossipHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	gossipMetaHex = "01 0102030405060708 01 0000000000000102 aa000000000000000000000000000000 1f90 03 626f62"
	gossipDigHex  = "01 bb000000000000000000000000000000 0000000000000001 0000000000000002 0000000000000003 ff00000000000004"
)

func TestMetaBytes(t *testing.T) {
	m := meta{Tag: gossipTag, Master: true, Reign: Reign{0x102, InstanceID{0xaa}}, Port: 8080, Name: "bob"}
	b := gossipHex(t, gossipMetaHex)
	if got := m.append(nil); string(got) != string(b) {
		t.Errorf("written %x, want %x", got, b)
	}
	with := func(i int, v byte) []byte {
		c := append([]byte(nil), b...)
		c[i] = v
		return c
	}
	for _, tt := range []struct {
		name string
		b    []byte
		err  error
	}{
		{"sound", b, nil},
		{"more at the end", append(append([]byte(nil), b...), 9, 9), nil},
		{"empty", nil, errMeta},
		{"cut", b[:36], errMeta},
		{"name cut", b[:len(b)-1], errMeta},
		{"name too long", append(with(36, 64), strings.Repeat("x", 64)...), errMeta},
		{"name with a line break", with(37, '\n'), errMeta},
		{"name not UTF-8", with(37, 0xff), errMeta},
		{"other version", with(0, 2), errMetaVersion},
		{"other cluster", with(8, 9), errMetaCluster},
	} {
		got, err := parseMeta(tt.b, gossipTag)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if err == nil && got != m {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	m.Name = strings.Repeat("x", 300)
	if got := m.append(nil); len(got) > memberlist.MetaMaxSize || len(got) != metaMin+nameMax {
		t.Errorf("%d bytes with a long name", len(got))
	}
}

func TestDigestBytes(t *testing.T) {
	d, id := digest{Pos{1, 2}, 3, 0xff00000000000004}, InstanceID{0xbb}
	b := gossipHex(t, gossipDigHex)
	if got := d.append(nil, id); string(got) != string(b) || len(b) != digestSize {
		t.Errorf("written %x, want %x", got, b)
	}
	if gotID, got, err := parseDigest(append(b, 1)); err != nil || got != d || gotID != id {
		t.Errorf("read %v %+v, %v", gotID, got, err)
	}
	for _, bad := range [][]byte{nil, b[:digestSize-1], append([]byte{2}, b[1:]...)} {
		if _, _, err := parseDigest(bad); err == nil {
			t.Errorf("%x is a digest", bad)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(gossipHex(f, gossipMetaHex))
	f.Add(gossipHex(f, gossipMetaHex)[:36])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b, gossipTag)
		if err != nil {
			return
		}
		if again, err := parseMeta(m.append(nil), gossipTag); err != nil || again != m {
			t.Errorf("%+v comes back as %+v, %v", m, again, err)
		}
	})
}

func FuzzDigest(f *testing.F) {
	f.Add(gossipHex(f, gossipDigHex))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, d, err := parseDigest(b); err == nil && string(d.append(nil, id)) != string(b[:digestSize]) {
			t.Errorf("%x comes back as %x", b, d.append(nil, id))
		}
	})
}
