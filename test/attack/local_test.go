//go:build linux

package attack

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

// pwned is a file that is there once a shell has read what it should not.
const pwned = "pwned"

// shell is what a shell would act on.
var shell = []string{"$(touch pwned)", "`touch pwned`", "x; touch pwned #", "' && touch pwned '", `"|touch pwned"`, "x\ntouch pwned\n", "--help", "../../../../pwned", "%s%n%x", "<script>alert(1)</script>"}

func noShell(t *testing.T) {
	t.Helper()
	if _, err := os.Lstat(pwned); err == nil {
		_ = os.Remove(pwned)
		t.Error("a shell has read it")
	}
}

// symlink puts a link where an instance will have its socket.
func symlink(t *testing.T, v *victim) int {
	path, precious := v.c.Socket("c"), filepath.Join(v.c.Dir, "precious")
	write(t, precious, "precious")
	for _, target := range []string{precious, v.c.Socket(v.master.Name), filepath.Join(v.c.Dir, "new")} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		c := v.c.Run(lab.Run{Name: "c", Set: v.set})
		if code := c.Exit(soon); code == 0 || c.Count("symbolic link")+c.Count("already runs here") == 0 {
			t.Errorf("with a link to %s in the place of its socket: exit %d", target, code)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(v.c.Dir, "new")); err == nil {
		t.Error("what a link points to was made")
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "precious" {
		t.Errorf("what the link points to is now %q, %v", b, err)
	}
	return 1
}

// openKeyFile lets others read the key, before a start and before a reload.
func openKeyFile(t *testing.T, v *victim) int {
	if err := os.Chmod(v.keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	c := v.c.Run(lab.Run{Name: "c", Set: v.set})
	if code := c.Exit(soon); code == 0 || c.Count("others can read") == 0 || c.Count("chmod 600") == 0 {
		t.Errorf("exit %d, and it does not say why and what to do", code)
	}
	v.master.Signal(syscall.SIGHUP)
	v.master.WaitLog("others can read", 1, soon)
	if err := os.Chmod(v.keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	return 1
}

// oddNames has instances that are called what a shell, a terminal or a log
// would act on. Control characters are refused; the rest is only text.
func oddNames(t *testing.T, v *victim) int {
	plain, r := codec(t, v.c.Name), random()
	p := v.of(t, v.slave).Packet
	p.Heard, p.Seq = nil, 1
	seal := func(name string) []byte {
		fill(r, p.Instance[:])
		p.Name = strings.Repeat("n", len(name))
		b, err := plain.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Replace(b, []byte(p.Name), []byte(name), 1)
	}
	for _, s := range shell {
		v.send(t, 1, func(int) []byte { return seal(s) })
	}
	control := []string{"\x1b[2J", "a\nb", "a\rb", "\x00", "a\u202eb", "\u2028", "\xff\xfe", "\x7f"}
	n := v.send(t, volley, func(i int) []byte { return seal(control[i%len(control)]) })
	c := v.c.CLI("status", "--instance", v.master.Name)
	if c.Code != 0 {
		t.Errorf("status: exit %d, %s", c.Code, c.Stderr)
	}
	if i := strings.IndexFunc(c.Stdout, isControl); i >= 0 {
		t.Errorf("status prints %q", c.Stdout[i:min(len(c.Stdout), i+20)])
	}
	for _, name := range shell { // and an instance of ours that is called so
		answer := v.c.CLI("config", "show", "--name", name)
		if strings.IndexFunc(answer.Stdout+answer.Stderr, isControl) >= 0 {
			t.Errorf("config show prints %q%q", answer.Stdout, answer.Stderr)
		}
	}
	noShell(t)
	whole(t, v)
	return n
}

func isControl(r rune) bool {
	return r < ' ' && r != '\n' || r == 0x7f || r == '\u202e' || r == '\u2028'
}

// whole fails the test if a line of a log is none: something broke out of it.
func whole(t *testing.T, v *victim) {
	t.Helper()
	for _, i := range []*lab.Instance{v.master, v.slave} {
		for _, l := range i.Log() {
			if !json.Valid([]byte(l.Raw)) {
				t.Errorf("%s logs %q", i.Name, l.Raw)
			}
		}
	}
}

// oddMessages sends the same as messages and their steps, and looks at them
// with every verb that shows them.
func oddMessages(t *testing.T, v *victim) int {
	post := func(path string, body any) int {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.url(v.master)+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := v.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	type step struct {
		ID    string `json:"id"`
		Kind  string `json:"kind"`
		Step  string `json:"step"`
		Phase string `json:"phase"`
		Error string `json:"error,omitempty"`
	}
	n := 0
	for _, s := range append(shell, "\x1b[2J\x1b]0;x\a", "a\x00b", strings.Repeat("x", 900)) {
		for _, st := range []step{
			{ID: s, Kind: "workflow", Step: s, Phase: "started"},
			{ID: s, Kind: "service", Step: s, Phase: "started"},
			{ID: s, Kind: "service", Step: s, Phase: "failed", Error: s},
		} {
			if code := post("/v1/steps", st); code == http.StatusOK {
				n++
			} else if code >= 500 {
				t.Errorf("step %q: %d", s, code)
			}
		}
	}
	for _, verb := range [][]string{{"cache", "in-flight"}, {"cache", "ls"}, {"status"}} {
		answer := v.c.CLI(append(verb, "--instance", v.master.Name)...)
		if answer.Code != 0 {
			t.Errorf("%v: exit %d, %s", verb, answer.Code, answer.Stderr)
		}
		if i := strings.IndexFunc(answer.Stdout, isControl); i >= 0 {
			t.Errorf("%v prints %q", verb, answer.Stdout[i:min(len(answer.Stdout), i+20)])
		}
	}
	if n < 2*len(shell) {
		t.Errorf("only %d steps were taken", n)
	}
	noShell(t)
	whole(t, v)
	return n
}
