//go:build linux

package attack

import (
	"bytes"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	floodRate = 100_000 // packets a second
	floodTime = 5 * time.Second
	batch     = 64 // packets of one system call
	senders   = 2
)

// mmsghdr is the kernel's, see sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	sent uint32
	_    [4]byte
}

func noisePacket(t *testing.T, v *victim) []byte {
	b := make([]byte, len(v.of(t, v.master).Raw))
	fill(random(), b)
	return b
}

// forgedPacket costs the most: only the signature shows what it is.
func forgedPacket(t *testing.T, v *victim) []byte {
	b := bytes.Clone(v.of(t, v.master).Raw)
	b[len(b)-1] ^= 1
	return b
}

func replayedPacket(t *testing.T, v *victim) []byte { return v.of(t, v.slave).Raw }

// flooding sends one packet over and over, from several sockets, at the rate
// above.
func flooding(build func(*testing.T, *victim) []byte) func(*testing.T, *victim) int {
	return func(t *testing.T, v *victim) int {
		packet := build(t, v)
		v.wire.Close() // it would have to read the flood too
		sent := [senders]int{}
		began := time.Now()
		all(senders, func(i int) {
			n, err := v.flood(packet, floodRate*11/10/senders)
			if err != nil {
				t.Error(err)
			}
			sent[i] = n
		})
		total := 0
		for _, n := range sent {
			total += n
		}
		rate := float64(total) / time.Since(began).Seconds()
		t.Logf("%d packets, %.0f a second", total, rate)
		if rate < floodRate {
			t.Cleanup(func() { // after all else was looked at
				t.Errorf("only %.0f packets a second, want %d: is the machine busy?", rate, floodRate)
			})
		}
		return total / 5 // the kernel drops what comes faster than it is read
	}
}

// flood sends b to the group at a rate, in packets a second.
func (v *victim) flood(b []byte, rate int) (sent int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(lo.Index)}); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(v.c.Port), Addr: v.c.Group.As4()}); err != nil {
		return 0, err
	}
	iov := unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	var list [batch]mmsghdr
	for i := range list {
		list[i].Iov, list[i].Iovlen = &iov, 1
	}
	began := time.Now()
	for passed := time.Duration(0); passed < floodTime; passed = time.Since(began) {
		if ahead := time.Duration(sent)*time.Second/time.Duration(rate) - passed; ahead > 0 {
			time.Sleep(ahead) // the rate itself
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&list[0])), batch, 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
		default:
			return sent, errno
		}
	}
	return sent, nil
}
