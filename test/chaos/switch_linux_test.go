package chaos

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	switchVerb = "chaos-switch"
	plainVerb  = "chaos-plain"
)

// netSwitch forwards frames between its ports.
type netSwitch struct {
	ports []int // sockets; port n is at n-1
	began time.Time

	mu     sync.Mutex // guards what follows
	rules  []rule
	chance *rand.Rand
}

// switchMain is a process of this test binary that is the switch. It takes the
// names of the cards as arguments, and rules from standard input, a list in
// JSON on each line; it answers each with a line, once the rules hold.
func switchMain(args []string) int {
	f := flag.NewFlagSet(switchVerb, flag.ExitOnError)
	seed := f.Uint64("seed", 1, "")
	_ = f.Parse(args)
	s := &netSwitch{began: time.Now(), chance: rand.New(rand.NewPCG(*seed, 0))}
	for _, name := range f.Args() {
		fd, err := tap(name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: open %s: %v\n", switchVerb, name, err)
			return 1
		}
		s.ports = append(s.ports, fd)
	}
	for n := range s.ports {
		go s.forward(n + 1)
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var rules []rule
		if err := json.Unmarshal(in.Bytes(), &rules); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", switchVerb, err)
			return 1
		}
		s.mu.Lock()
		s.rules = rules
		s.mu.Unlock()
		fmt.Println("done")
	}
	return 0
}

// tap opens a socket that takes and gives whole frames of a card.
func tap(name string) (int, error) {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	all := uint16(unix.ETH_P_ALL)<<8 | unix.ETH_P_ALL>>8 // network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: card.Index})
}

// forward takes the frames of one port for as long as the process lives.
func (s *netSwitch) forward(from int) {
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(s.ports[from-1], buf)
		if err != nil || n < 14 {
			continue // the card is down for a while
		}
		frame := append([]byte(nil), buf[:n]...)
		for to := range len(s.ports) + 1 {
			// Cards are named by their last byte. All the others: a group, or everybody.
			if to == 0 || to == from || frame[0]&1 == 0 && int(frame[5]) != to {
				continue
			}
			s.mu.Lock()
			out := fate(s.rules, from, to, time.Since(s.began), s.chance)
			s.mu.Unlock()
			for _, delay := range out {
				if delay == 0 {
					_, _ = unix.Write(s.ports[to-1], frame) // who is down hears nothing
					continue
				}
				time.AfterFunc(delay, func() { _, _ = unix.Write(s.ports[to-1], frame) })
			}
		}
	}
}

// plainMain makes a card compute its checksums itself: frames that leave
// without one are completed by cards, and the switch is none.
func plainMain(args []string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		const setTxChecksum = 0x17 // ETHTOOL_STXCSUM
		value := struct{ cmd, data uint32 }{setTxChecksum, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:], args[0])
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			err = errno
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", plainVerb, err)
		return 1
	}
	return 0
}

// control is the test's end of the switch.
type control struct {
	in  io.Writer
	out *bufio.Reader
}

// set puts rules in place of those before, and returns when they hold.
func (c *control) set(rules []rule) error {
	b, err := json.Marshal(append([]rule{}, rules...))
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(b, '\n')); err != nil {
		return err
	}
	return c.expect("done")
}

func (c *control) expect(word string) error {
	if said, err := c.out.ReadString('\n'); err != nil || strings.TrimSpace(said) != word {
		return fmt.Errorf("the switch said %q, want %q: %v", said, word, err)
	}
	return nil
}
