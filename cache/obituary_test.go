package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func obituaryBytes(o Obituary) []byte {
	b := append([]byte(obituaryMagic), o.Instance[:]...)
	b = append(b, o.Secret[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(o.Age))
}

// TestObituaryInstead has a keeper answer a client that wants TLS.
func TestObituaryInstead(t *testing.T) {
	want := Obituary{Instance: InstanceID{1, 2}, Secret: [32]byte{3, 4}, Age: 5 * time.Millisecond}
	all := obituaryBytes(want)
	for _, cut := range []int{0, 1, 4, 59} { // where a segment may end
		client, keeper := connected(t)
		go func() {
			keeper.Write(all[:cut])
			if cut > 0 {
				io.ReadFull(keeper, make([]byte, 1)) // its ClientHello is here
			}
			keeper.Write(all[cut:])
			keeper.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, keeper)
		}()
		_, err := newTestGuard(t, "c", keyA).client(context.Background(), client)
		if o, ok := errors.AsType[*obituaryError](err); !ok || o.Obituary != want {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestReadObituary(t *testing.T) {
	good := obituaryBytes(Obituary{Instance: InstanceID{1}, Age: time.Second})
	if len(good) != obituarySize {
		t.Fatalf("%d bytes", len(good))
	}
	edit := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for _, tt := range []struct {
		b    []byte
		want error
	}{
		{good, nil}, {append(bytes.Clone(good), 1), nil},
		{nil, io.EOF}, {good[:59], io.ErrUnexpectedEOF},
		{edit(3, 'C'), errMalformed}, {edit(52, 0x80), errMalformed},
	} {
		if _, err := readObituary(bytes.NewReader(tt.b)); !errors.Is(err, tt.want) {
			t.Errorf("%x: %v, want %v", tt.b, err, tt.want)
		}
	}
}
