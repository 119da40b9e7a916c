package mcast

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestOnACard runs the tests of sending and receiving in a network namespace of
// their own, on an interface that is more like a network card than lo is: it
// does IPv6 multicast, and own packets come back only because we ask for them.
// No packet leaves the namespace.
func TestOnACard(t *testing.T) {
	if os.Getenv(interfaceEnv) != "" {
		t.Skip("this is the inner run")
	}
	const setUp = `ip link set lo up && ip link add d0 type veth peer name d1 &&
		ip link set d0 addrgenmode none && ip link set d1 addrgenmode none && ip link set d1 up && ip link set d0 up &&
		ip addr add 192.0.2.1/24 dev d0 && ip -6 addr add fe80::1/64 dev d0 nodad`
	if out, err := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", setUp).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", setUp+` && exec "$0" "$@"`,
		os.Args[0], "-test.v", "-test.timeout=30s", "-test.run=^(TestSeveralInstancesOnOneHost|TestOtherGroupsOfThePortAreNotHeard|TestTooLongIsNotCutToAValidLength)$")
	cmd.Env = append(os.Environ(), interfaceEnv+"=d0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: ") != 9 {
		t.Errorf("%v\n%s", err, out)
	}
}
