//go:build linux

package browser

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

var (
	browser = flag.Bool("browser", false, "look at the dashboard with chromium")
	picture = flag.String("picture", "", "write pictures of the dashboard into this folder")
)

const (
	soon  = 30 * time.Second
	token = "0123456789abcdef0123456789abcdef"
	// hostile is the id of a message, which must stay text.
	hostile = `<img src=x onerror="document.title='pwned'">`
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*browser && len(flag.Args()) == 0 {
		os.Exit(m.Run()) // all is skipped: nothing needs the program
	}
	os.Exit(lab.Main(m))
}

// TestDashboard has two instances, looks at both, and hands over by the button.
func TestDashboard(t *testing.T) {
	if !*browser {
		t.Skip("needs -browser, and chromium")
	}
	for _, tt := range []struct{ name, design string }{{"3.0.6", "design 3.0.6"}, {"3.3", "design 3.3"}} {
		t.Run(tt.name, func(t *testing.T) {
			c := lab.New(t, "failover.delay=200", "failover.retries=10")
			if tt.name == "3.3" {
				c = lab.NewPings(t, false, "failover.ping.interval.seconds=1", "failover.instance.timeout.seconds=4")
			}
			file := filepath.Join(c.Dir, "token")
			if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
			start := func(name string) *lab.Instance {
				return c.Run(lab.Run{Name: name, Command: c.Worker(), Set: []string{"failover.admin.listen=127.0.0.1:0", "failover.admin.token.file=" + file}})
			}
			a := start("a")
			a.WaitState(admin.StateMaster, soon)
			b := start("b")
			b.WaitStatus("it follows, and is next", soon, func(s admin.Status) bool { return s.Master != nil && s.Instance.Position == 1 })
			a.WaitStatus("a peer", soon, func(s admin.Status) bool { return len(s.Peers) == 1 })
			hold(t, url(t, a))
			look(t, tt.design, url(t, a), url(t, b))
		})
	}
}

// look is what a user does with the two pages.
func look(t *testing.T, design, urlA, urlB string) {
	chrome := startChromium(t)
	pageA, pageB := chrome.open(urlA), chrome.open(urlB)
	see := func(p *page, id, want string) {
		t.Helper()
		lab.Wait(t, id+" shows "+want, soon, func() bool { return strings.Contains(p.text(id), want) })
	}
	see(pageA, "role", "master")
	see(pageB, "role", "slave")
	see(pageA, "design", design)
	see(pageA, "flying", "1")
	see(pageA, "flights", hostile)
	see(pageB, "position", "position 1")
	see(pageB, "instances", "master")
	pageA.picture(design + " master")
	if got := pageA.eval("document.getElementById('switchover').disabled"); got != "true" {
		t.Errorf("without a token the button is disabled: %s", got)
	}

	pageA.write("token", "wrong")
	pageA.click("switchover")
	see(pageA, "switchover", "Really switchover?")
	pageA.click("switchover")
	see(pageA, "answer", "this needs the token")
	if got := pageA.text("role"); got != "master" {
		t.Errorf("after a wrong token it is %s", got)
	}
	refused := pageA.faults(urlA) // the browser tells of the 401
	if len(refused) != 1 || !strings.Contains(refused[0], "401") {
		t.Errorf("page a: %q", refused)
	}

	pageA.write("token", token)
	pageA.click("switchover")
	pageA.click("switchover")
	see(pageA, "answer", "Handed over.")
	see(pageA, "role", "slave")
	see(pageB, "role", "master")
	see(pageA, "events", "demoted")
	see(pageB, "events", "promoted")
	pageA.picture(design + " slave")
	if got := pageA.eval("document.title"); got != "a: slave" && !strings.HasSuffix(got, ": slave") {
		t.Errorf("the title is %q", got)
	}
	if got := pageA.faults(urlA); len(got) != len(refused) {
		t.Errorf("page a: %q", got)
	}
	if got := pageB.faults(urlB); len(got) != 0 {
		t.Errorf("page b: %q", got)
	}
}

// url is where an instance's API is.
func url(t *testing.T, i *lab.Instance) string {
	t.Helper()
	var said struct{ URL string }
	if err := json.Unmarshal([]byte(i.WaitLog("The HTTP API listens", 1, soon).Raw), &said); err != nil {
		t.Fatal(err)
	}
	return said.URL
}

// hold begins a message that does not end.
func hold(t *testing.T, url string) {
	t.Helper()
	b, err := json.Marshal(map[string]string{"id": hostile, "kind": "workflow", "step": "orders", "phase": "started"})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/steps", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST /v1/steps: %d", resp.StatusCode)
	}
}

// picture writes a PNG, if the flag says where.
func (p *page) picture(name string) {
	p.c.t.Helper()
	if *picture == "" {
		return
	}
	var shot struct{ Data string }
	p.c.call(p.session, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	b, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(*picture, strings.ReplaceAll(name, " ", "-")+".png"), b, 0o644)
	}
	if err != nil {
		p.c.t.Error(err)
	}
}
