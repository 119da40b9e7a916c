package mcast

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// card0 makes the interface d0.
const card0 = `ip link add d0 type veth peer name d1
	ip link set d0 addrgenmode none; ip link set d1 addrgenmode none; ip link set d1 up; ip link set d0 up
	ip addr add 192.0.2.1/24 dev d0; ip -6 addr add fe80::1/64 dev d0 nodad`

// TestOnACard runs the tests of sending and receiving in a network namespace of
// their own, on an interface that is more like a network card than lo is: it
// does IPv6 multicast, and own packets come back only because we ask for them.
// No packet leaves the namespace.
func TestOnACard(t *testing.T) {
	onACard(t, "TestSeveralInstancesOnOneHost|TestOtherGroupsOfThePortAreNotHeard|TestTooLongIsNotCutToAValidLength|TestSendAndReceiveDoNotAllocate", 12)
}

// TestOnAChangingCard runs those of what happens to an interface.
func TestOnAChangingCard(t *testing.T) { onACard(t, "TestAnotherAddress|TestAnotherCard", 6) }

func onACard(t *testing.T, tests string, passes int) {
	t.Helper()
	if os.Getenv(interfaceEnv) != "" {
		t.Skip("this is the inner run")
	}
	const setUp = "ip link set lo up; " + card0
	if out, err := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-ec", setUp).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-ec", setUp+`; exec "$0" "$@"`,
		os.Args[0], "-test.v", "-test.timeout=30s", "-test.run=^("+tests+")$")
	cmd.Env = append(os.Environ(), interfaceEnv+"=d0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: ") != passes {
		t.Errorf("%v\n%s", err, out)
	}
}

// shell changes the interface.
func shell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", script, err, out)
	}
}

// onlyOnACard skips a test that changes its interface, but for the inner run of
// TestOnAChangingCard.
func onlyOnACard(t *testing.T) {
	t.Helper()
	if os.Getenv(interfaceEnv) == "" {
		t.Skip("this changes the interface; TestOnAChangingCard runs it on one of its own")
	}
}

// goesOn waits until both send from an address, with the port they had, and
// hear each other by the group and alone.
func goesOn(t *testing.T, a, b *Conn, gotA, gotB <-chan packet, addr netip.Addr) {
	t.Helper()
	port := a.LocalAddr().Port()
	for from := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		// Nobody sends: it has to be seen without a send that fails.
		if a.LocalAddr().Addr() == addr && b.LocalAddr().Addr() == addr {
			break
		}
		if time.Since(from) > 10*time.Second {
			t.Fatalf("they send from %v and %v, want %v", a.LocalAddr(), b.LocalAddr(), addr)
		}
	}
	if got := a.LocalAddr().Port(); got != port {
		t.Errorf("port %d, was %d", got, port)
	}
	if a.Interface().Addr != addr {
		t.Errorf("Interface() = %v", a.Interface())
	}
	heard(t, gotA, packet{"to all", a.LocalAddr(), true}, func() { _ = a.Multicast([]byte("to all")) })
	heard(t, gotB, packet{"to all", a.LocalAddr(), true}, func() { _ = a.Multicast([]byte("to all")) })
	heard(t, gotA, packet{"to one", b.LocalAddr(), false}, func() { _ = b.Unicast([]byte("to one"), a.LocalAddr()) })
}

// heard sends until the packet comes: the kernel makes an address known before
// all of it works, and a busy machine has no time for a send.
func heard(t *testing.T, got <-chan packet, want packet, send func()) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	late := time.After(10 * time.Second)
	for send(); ; {
		select {
		case p := <-got:
			if p == want {
				return
			}
		case <-again.C:
			send()
		case <-late:
			t.Fatalf("%v was not heard", want)
		}
	}
}

// The interface has another address: from then on everything comes from that.
func TestAnotherAddress(t *testing.T) {
	onlyOnACard(t)
	families(t, func(t *testing.T, cfg Config) {
		a, gotA := open(t, cfg)
		b, gotB := open(t, cfg)
		old, next := "192.0.2.1/24", "192.0.2.9/24"
		if cfg.Group.Is6() {
			old, next = "fe80::1/64", "fe80::9/64"
		}
		change := func(old, next string) netip.Addr {
			shell(t, "ip addr del "+old+" dev "+cfg.Interface+"; ip addr add "+next+" dev "+cfg.Interface+" nodad")
			addr := netip.MustParsePrefix(next).Addr()
			if addr.Is6() {
				addr = addr.WithZone(cfg.Interface)
			}
			return addr
		}
		goesOn(t, a, b, gotA, gotB, change(old, next))
		goesOn(t, a, b, gotA, gotB, change(next, old))
	})
}

// The interface goes, and another one comes that has its name and its address.
func TestAnotherCard(t *testing.T) {
	onlyOnACard(t)
	families(t, func(t *testing.T, cfg Config) {
		a, gotA := open(t, cfg)
		b, gotB := open(t, cfg)
		before := a.Interface()
		shell(t, "ip link del "+cfg.Interface+"; "+card0)
		for from := time.Now(); a.Interface().Index == before.Index || b.Interface().Index == before.Index; time.Sleep(10 * time.Millisecond) {
			if time.Since(from) > 10*time.Second {
				t.Fatalf("still on %v and %v", a.Interface(), b.Interface())
			}
		}
		goesOn(t, a, b, gotA, gotB, before.Addr)
	})
}
