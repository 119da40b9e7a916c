//go:build linux

package attack

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	jsonType = "Content-Type: application/json\r\n"
	bearer   = "Authorization: Bearer " + token + "\r\n"
)

// dial connects to the master's API.
func (v *victim) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", v.address(), soon)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(2 * soon))
	return c
}

// ask sends one request as it stands, and returns the status of the answer; 0:
// none came. body, if any, is written until as many bytes are sent as given.
func (v *victim) ask(t *testing.T, request string, body int) (code int) {
	t.Helper()
	c := v.dial(t)
	defer c.Close()
	answered := make(chan int, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			answered <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	_, err := io.WriteString(c, request)
	block := make([]byte, 64<<10)
	for sent := 0; err == nil && sent < body; sent += len(block) {
		_, err = c.Write(block)
	}
	return <-answered
}

// all has several callers do the same at once.
func all(callers int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// slowLoris opens connections that send a header, a letter at a time, until
// they are cut off.
func slowLoris(t *testing.T, v *victim) int {
	const callers = 100 // of 128 places
	var conns []net.Conn
	began := time.Now()
	for range callers {
		conns = append(conns, v.dial(t))
	}
	all(callers, func(i int) {
		c := conns[i]
		defer c.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, c) // until it is cut off
		}()
		_, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for err == nil {
			select {
			case <-tick.C:
				_, err = io.WriteString(c, "x")
			case <-ended:
				return
			}
		}
		<-ended
	})
	if held := time.Since(began); held > soon {
		t.Errorf("they had their places for %v", held)
	}
	return callers
}

// hugeBody sends orders with a body of 1 GiB.
func hugeBody(withToken bool) func(*testing.T, *victim) int {
	return func(t *testing.T, v *victim) int {
		header := jsonType
		if withToken {
			header += bearer
		}
		const callers, size = 8, 1 << 30
		all(callers, func(i int) {
			path, length := []string{"/v1/drain", "/v1/steps"}[i%2], fmt.Sprintf("Content-Length: %d\r\n", size)
			if code := v.ask(t, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+header+length+"\r\n", size); code != 0 && code != 413 && code != 401 {
				t.Errorf("POST %s was answered %d", path, code)
			}
		})
		return callers
	}
}

// endlessHeader sends headers for as long as somebody reads them.
func endlessHeader(t *testing.T, v *victim) int {
	const callers, size = 8, 64 << 20
	all(callers, func(int) {
		if code := v.ask(t, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Long: ", size); code != 0 && code != 431 {
			t.Errorf("it was answered %d", code)
		}
	})
	return callers
}

// refused sends requests, each of which has to be answered with the code given.
func (v *victim) refused(t *testing.T, code int, requests ...string) int {
	t.Helper()
	const times = 20
	for range times {
		for _, r := range requests {
			if got := v.ask(t, r+"\r\n", 0); got != code {
				t.Fatalf("%q was answered %d, want %d", r, got, code)
			}
		}
	}
	return times * len(requests)
}

// rebinding is a page whose name was made to point here. It has no token: what
// has it needs no such page.
func rebinding(t *testing.T, v *victim) int {
	return v.refused(t, http.StatusMisdirectedRequest,
		"POST /v1/drain HTTP/1.1\r\nHost: evil.example\r\n"+jsonType+"Content-Length: 0\r\n",
		"POST /v1/drain HTTP/1.1\r\nHost: evil.example:80\r\nOrigin: http://evil.example:80\r\n"+jsonType+"Content-Length: 0\r\n",
		"POST /v1/switchover HTTP/1.1\r\nHost: localhost.evil.example\r\n"+jsonType+"Content-Length: 0\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n",
		"GET / HTTP/1.1\r\nHost: evil.example\r\n",
	)
}

// crossSite is a page of another site, with the token as above.
func crossSite(t *testing.T, v *victim) int {
	host := "Host: " + v.address() + "\r\n"
	return v.refused(t, http.StatusForbidden,
		"POST /v1/drain HTTP/1.1\r\n"+host+"Origin: http://evil.example\r\n"+bearer+jsonType+"Content-Length: 0\r\n",
		"POST /v1/drain HTTP/1.1\r\n"+host+"Origin: null\r\n"+bearer+jsonType+"Content-Length: 0\r\n",
		"POST /v1/drain HTTP/1.1\r\n"+host+"Sec-Fetch-Site: cross-site\r\n"+bearer+jsonType+"Content-Length: 0\r\n",
		"POST /v1/promote HTTP/1.1\r\n"+host+"Sec-Fetch-Site: same-site\r\n"+bearer+jsonType+"Content-Length: 0\r\n",
		"DELETE /v1/cache/FAILOVER_CACHE/k HTTP/1.1\r\n"+host+"Origin: http://evil.example\r\n"+bearer,
		"GET /v1/in-flight HTTP/1.1\r\n"+host+"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
	)
}

// guesses tries tokens.
func guesses(t *testing.T, v *victim) int {
	const tries = 500
	for i := range tries {
		guess := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
		if i == 0 {
			guess = token[:len(token)-1]
		}
		if got := v.ask(t, "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+guess+"\r\n"+jsonType+"Content-Length: 0\r\n\r\n", 0); got != http.StatusUnauthorized {
			t.Fatalf("token %q was answered %d", guess, got)
		}
	}
	return tries
}

// changeToken gives the master another token, and leaves the old one in a
// stranger's hand.
func changeToken(t *testing.T, v *victim) {
	write(t, v.tokenFile, newToken)
	v.master.Signal(syscall.SIGHUP)
	v.master.WaitLog("Reloaded the token", 1, soon)
	const order = "POST /v1/resume HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + newToken + "\r\n" + jsonType + "Content-Length: 0\r\n\r\n"
	if code := v.ask(t, order, 0); code != http.StatusOK {
		t.Errorf("the new token is answered %d", code)
	}
}

func oldToken(t *testing.T, v *victim) int {
	return v.refused(t, http.StatusUnauthorized, "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\n"+bearer+jsonType+"Content-Length: 0\r\n")
}

// together is all of it at once, for as long as many heartbeats take, beside
// readers who are let in.
func together(t *testing.T, v *victim) int {
	const beats = 8
	address := v.address()
	var over atomic.Bool
	var turned atomic.Int64
	stop := time.AfterFunc(beats*v.delay, func() { over.Store(true) })
	defer stop.Stop()
	again := func(request string, body int, code int) func() {
		return func() {
			for !over.Load() {
				if got := v.ask(t, request+"\r\n", body); got == code {
					turned.Add(1)
				}
			}
		}
	}
	const order = jsonType + "Content-Length: 0\r\n"
	strikes := []func(){
		again("GET /metrics HTTP/1.1\r\nHost: localhost\r\n", 0, 0),
		again("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n", 0, 0),
		again("GET /v1/in-flight HTTP/1.1\r\nHost: localhost\r\n", 0, 0),
		again("POST /v1/drain HTTP/1.1\r\nHost: evil.example\r\n"+order, 0, 421),
		again("POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"+bearer+order, 0, 403),
		again("POST /v1/drain HTTP/1.1\r\nHost: localhost\r\n"+order, 0, 401),
		again("POST /v1/drain HTTP/1.1\r\nHost: localhost\r\n"+bearer+jsonType+"Content-Length: 1073741824\r\n", 1<<30, 0),
		again("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: "+strings.Repeat("x", 32<<10)+"\r\n", 0, 0),
		func() { // hoards places, and says nothing
			var held []net.Conn
			for range 60 {
				if c, err := net.DialTimeout("tcp", address, v.delay); err == nil {
					held = append(held, c)
				}
			}
			for !over.Load() {
				time.Sleep(v.delay / 10)
			}
			for _, c := range held {
				c.Close()
			}
		},
	}
	all(2*len(strikes), func(i int) { strikes[i%len(strikes)]() })
	return int(turned.Load())
}
