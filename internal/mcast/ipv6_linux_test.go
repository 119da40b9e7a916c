package mcast

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestIPv6 runs the IPv6 tests in a network namespace of their own, where they
// have an interface that can do what lo cannot. No packet leaves it.
func TestIPv6(t *testing.T) {
	if os.Getenv(interfaceEnv) != "" {
		t.Skip("this is the inner run")
	}
	const setUp = `ip link set lo up && ip link add d0 type veth peer name d1 &&
		ip link set d0 addrgenmode none && ip link set d1 addrgenmode none && ip link set d1 up && ip link set d0 up &&
		ip -6 addr add fe80::1/64 dev d0 nodad`
	if out, err := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", setUp).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", setUp+` && exec "$0" "$@"`,
		os.Args[0], "-test.v", "-test.timeout=30s", "-test.run=^(TestSeveralInstancesOnOneHost|TestOtherGroupsOfThePortAreNotHeard|TestTooLongIsNotCutToAValidLength)$/^IPv6$")
	cmd.Env = append(os.Environ(), interfaceEnv+"=d0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: ") != 6 {
		t.Errorf("%v\n%s", err, out)
	}
}
