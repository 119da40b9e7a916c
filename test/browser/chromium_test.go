//go:build linux

package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chromium is a running browser. It speaks the DevTools protocol over a pipe:
// JSON, with a zero byte behind each message.
type chromium struct {
	t   *testing.T
	out *os.File

	mu      sync.Mutex // guards what follows
	last    int
	waiting map[int]chan answer
	events  []event
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// event is what the browser tells by itself.
type event struct {
	Method  string
	Session string `json:"sessionId"`
	Params  json.RawMessage
}

// startChromium starts one, until the test ends.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the test needs chromium: %v", err)
	}
	toIt, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, fromIt, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toIt, fromIt} // its descriptors 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toIt.Close(), fromIt.Close()
	c := &chromium{t: t, out: out, waiting: map[int]chan answer{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.listen(in)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_, _ = out.Close(), in.Close()
		<-read
		if t.Failed() {
			t.Logf("chromium said:\n%s", said.String())
		}
	})
	return c
}

func (c *chromium) listen(in *os.File) {
	for r := bufio.NewReader(in); ; {
		b, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID int
			answer
			event
		}
		if json.Unmarshal(bytes.TrimSuffix(b, []byte{0}), &m) != nil {
			continue
		}
		c.mu.Lock()
		if waits := c.waiting[m.ID]; m.ID != 0 && waits != nil {
			delete(c.waiting, m.ID)
			waits <- m.answer
		} else {
			c.events = append(c.events, m.event)
		}
		c.mu.Unlock()
	}
}

// call calls a method and fills result, if one is given.
func (c *chromium) call(session, method string, params any, result any) {
	c.t.Helper()
	waits := make(chan answer, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = waits
	c.mu.Unlock()
	message := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	b, err := json.Marshal(message)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.out.Write(append(b, 0)); err != nil {
		c.t.Fatal(err)
	}
	select {
	case a := <-waits:
		if a.Error != nil {
			c.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				c.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(soon):
		c.t.Fatalf("%s was not answered", method)
	}
}

// page is one window.
type page struct {
	c       *chromium
	session string
}

// open opens a window: a tab behind another is hidden, and does not look.
func (c *chromium) open(url string) *page {
	c.t.Helper()
	var target struct{ TargetID string }
	c.call("", "Target.createTarget", map[string]any{"url": "about:blank", "newWindow": true}, &target)
	var attached struct{ SessionID string }
	c.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &page{c, attached.SessionID}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		c.call(p.session, domain+".enable", map[string]any{}, nil)
	}
	c.call(p.session, "Page.navigate", map[string]any{"url": url}, nil)
	return p
}

// eval runs an expression in the page, and returns its value as text.
func (p *page) eval(expression string) string {
	p.c.t.Helper()
	var got struct {
		Result struct {
			Value any
		}
		ExceptionDetails json.RawMessage
	}
	p.c.call(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if got.ExceptionDetails != nil {
		return "exception: " + string(got.ExceptionDetails)
	}
	return fmt.Sprint(got.Result.Value)
}

// text is what stands in an element.
func (p *page) text(id string) string {
	return p.eval("(document.getElementById(" + quote(id) + ") || {}).textContent || ''")
}

// write fills an input, or chooses of a list, as a user would.
func (p *page) write(id, value string) {
	p.eval("{ const e = document.getElementById(" + quote(id) + "); e.value = " + quote(value) + "; e.dispatchEvent(new Event('input')); }")
}

func (p *page) click(id string) { p.eval("document.getElementById(" + quote(id) + ").click()") }

func quote(s string) string {
	b, _ := json.Marshal(s) // a string can always be written
	return string(b)
}

// faults are what went wrong in the page: exceptions, what its policy forbade,
// and requests to anybody but the origin given.
func (p *page) faults(origin string) (list []string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for _, e := range p.c.events {
		if e.Session != p.session {
			continue
		}
		switch e.Method {
		case "Runtime.exceptionThrown":
			list = append(list, string(e.Params))
		case "Log.entryAdded":
			var said struct{ Entry struct{ Level, Text string } }
			if json.Unmarshal(e.Params, &said) != nil || said.Entry.Level == "error" || said.Entry.Level == "warning" {
				list = append(list, said.Entry.Text)
			}
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			if json.Unmarshal(e.Params, &sent) == nil && !strings.HasPrefix(sent.Request.URL, origin) && !strings.HasPrefix(sent.Request.URL, "data:") {
				list = append(list, "asked "+sent.Request.URL)
			}
		}
	}
	return list
}
