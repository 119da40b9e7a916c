package kill

import (
	"crypto/rand"
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

var rekey = flag.Bool("rekey", false, "run TestRekey")

// TestRekey changes the key under load, one instance at a time: accept both,
// sign with the new, drop the old. The master stays, and no message is lost.
func TestRekey(t *testing.T) {
	if !*rekey {
		t.Skip("needs -rekey")
	}
	key := func() string {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // it does not fail
		return base64.StdEncoding.EncodeToString(b)
	}
	first, second := key(), key()
	file := filepath.Join(t.TempDir(), "key")
	write := func(keys string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(keys), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	p := newPlay(t, scene{rate: *soakRate, set: append([]string{"failover.key.file=" + file}, calm...)})
	master, all := p.master, p.Others(nil)
	for n, keys := range []string{first + "\n" + second, second + "\n" + first, second} {
		write(keys)
		for _, i := range all {
			i.Signal(syscall.SIGHUP)
			i.WaitLog("Reloaded the keys", n+1, soon)
			p.ready() // the master has both in step, and messages flow
		}
	}
	for _, i := range all {
		heard := i.MustStatus().Packets.Received
		i.WaitStatus("packets of both peers", soon, func(s admin.Status) bool { return s.Packets.Received >= heard+6 })
		for _, cause := range []string{"key", "forged", "unsigned"} {
			if n := i.MustStatus().Packets.Dropped[cause]; n != 0 {
				t.Errorf("%s refused %d packets as %s", i.Name, n, cause)
			}
		}
	}
	// What a lost packet or stream would do is seen in the next lease only.
	lab.Never(t, "a change of master", 4*time.Second, func() bool { return len(p.m.audit.reports()) != 1 })
	if p.master != master {
		t.Errorf("%s was master, and now %s is", master.Name, p.master.Name)
	}
	v := p.end()
	for _, fault := range v.Faults {
		t.Error(fault)
	}
	if v.Unknown+v.Twice+v.Lost+v.TakenTwice+v.StaleTaken > 0 {
		t.Errorf("%v", v)
	}
}
