//go:build unix

package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// caller is a connection with its reader.
type caller struct {
	net.Conn
	r *bufio.Reader
}

// ask sends one request; the connection stays open. The body of a stream is not
// read.
func (c *caller) ask(method, path, body string) (*http.Response, error) {
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, bearer, len(body), body); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *caller) answer() (*http.Response, error) {
	resp, err := http.ReadResponse(c.r, nil)
	if err == nil && resp.ContentLength >= 0 {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return resp, err
}

// bothDoors has do dial one door after the other.
func bothDoors(t *testing.T, cfg Config, do func(t *testing.T, s *tcpServer, dial func() *caller)) {
	for _, door := range []string{"unix", "tcp"} {
		t.Run(door, func(t *testing.T) {
			s := serveTCP(t, cfg, TCP{Token: token}, false, nil)
			do(t, s, func() *caller {
				address := map[string]string{"unix": s.cfg.SocketPath, "tcp": s.addr}[door]
				c, err := net.Dial(door, address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				return &caller{c, bufio.NewReader(c)}
			})
		})
	}
}

// Who keeps connections open and asks nothing keeps nobody out: the one that
// has been idle the longest makes room.
func TestIdleMakeRoom(t *testing.T) {
	bothDoors(t, Config{Steps: &fakeSteps{}}, func(t *testing.T, _ *tcpServer, dial func() *caller) {
		held := make([]*caller, maxConns)
		for i := range held {
			held[i] = dial()
			if resp, err := held[i].ask("POST", "/v1/steps", oneStep); err != nil || resp.StatusCode != 200 {
				t.Fatalf("caller %d: %v, %v", i, resp, err)
			}
		}
		// The first is not idle any more, so the next ones go.
		if _, err := held[0].ask("GET", "/healthz", ""); err != nil {
			t.Fatal(err)
		}
		const orders = 4
		for i := range orders {
			if resp, err := dial().ask("POST", "/v1/drain", ""); err != nil || resp.StatusCode != 200 {
				t.Errorf("order %d of a newcomer: %v, %v", i, resp, err)
			}
		}
		var out []int
		for i, c := range held {
			if _, err := c.ask("GET", "/healthz", ""); err != nil {
				out = append(out, i)
			}
		}
		// Who has its answer is noted as idle a moment later, so the order may differ.
		if len(out) != orders || out[0] == 0 || out[orders-1] > 4*orders {
			t.Errorf("callers %v made room, want %d of those who came first after caller 0", out, orders)
		}
	})
}

// Nobody who is at work is put out: then the next waits until one has ended.
func TestWorkKeepsItsPlace(t *testing.T) {
	node := &heldNode{fakeNode: newFakeNode(), entered: make(chan struct{}), let: make(chan struct{})}
	let := sync.OnceFunc(func() { close(node.let) })
	path, _ := serve(t, node, func(s *Server) { s.conns = 2 })
	t.Cleanup(let)
	codes := make(chan int, 2)
	for range 2 {
		c := &caller{Conn: dial(t, path)}
		c.r = bufio.NewReader(c)
		go func() {
			resp, err := c.ask("POST", "/v1/switchover", "")
			if err != nil {
				codes <- 0
				return
			}
			codes <- resp.StatusCode
		}()
		<-node.entered
	}
	third := &caller{Conn: dial(t, path)}
	third.r = bufio.NewReader(third)
	_ = third.SetReadDeadline(time.Now().Add(2 * fairTime))
	if _, err := third.ask("GET", "/healthz", ""); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the third of two was answered: %v", err)
	}
	_ = third.SetReadDeadline(time.Time{})
	let()
	for range 2 {
		if code := <-codes; code != 200 {
			t.Errorf("who was at work got %d", code)
		}
	}
	if _, err := third.answer(); err != nil {
		t.Errorf("the third got no answer after a place was free: %v", err)
	}
}

// heldNode carries no switchover out before it is let.
type heldNode struct {
	*fakeNode
	entered, let chan struct{}
}

func (n *heldNode) Switchover(context.Context, string) (string, error) {
	n.entered <- struct{}{}
	<-n.let
	return "b", nil
}

// Streams have half of the places, and what waits for slaves does not have the
// rest: orders and probes get through.
func TestStreamsLeaveRoom(t *testing.T) {
	steps := &waitingSteps{let: make(chan struct{})}
	defer close(steps.let)
	bothDoors(t, Config{Caches: newFakeCaches(), Steps: steps}, func(t *testing.T, _ *tcpServer, dial func() *caller) {
		var held []*caller
		for i := range maxConns + 10 {
			c := dial()
			path := []string{"/v1/events", "/v1/cache/FAILOVER_CACHE?watch=1"}[i%2]
			resp, err := c.ask("GET", path, "")
			if err != nil {
				t.Fatalf("reader %d: %v", i, err)
			}
			if want := map[bool]int{true: 200, false: 503}[i < maxConns/2]; resp.StatusCode != want {
				t.Fatalf("reader %d of %s got %d, want %d", i, path, resp.StatusCode, want)
			} else if want == 503 && (resp.Header.Get("Retry-After") == "" || !resp.Close) {
				t.Errorf("reader %d is not told when to come again, or keeps its place: %v", i, resp.Header)
			}
			held = append(held, c)
		}
		most := maxConns - maxConns/8 - maxConns/2
		codes := make(chan int, most+1)
		for range most + 1 {
			c := dial()
			go func() {
				resp, err := c.ask("POST", "/v1/steps?timeoutMs=60000", oneStep)
				if err != nil {
					codes <- 0
					return
				}
				codes <- resp.StatusCode
			}()
		}
		if code := <-codes; code != 429 { // all others wait
			t.Errorf("one step too many got %d", code)
		}
		for method, path := range map[string]string{"GET": "/readyz", "POST": "/v1/drain"} {
			if resp, err := dial().ask(method, path, ""); err != nil || resp.StatusCode != 200 {
				t.Errorf("%s %s: %v, %v", method, path, resp, err)
			}
		}
		// Who goes makes room.
		held[0].Close()
		for end := time.Now().Add(10 * time.Second); ; {
			resp, err := dial().ask("GET", "/v1/events", "")
			if err == nil && resp.StatusCode == 200 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("after a stream ended: %v, %v", resp, err)
			}
			time.Sleep(5 * time.Millisecond) // no one tells when
		}
	})
}

// waitingSteps take none before they are let.
type waitingSteps struct{ let chan struct{} }

func (s *waitingSteps) Report(ctx context.Context, _ []Step) (StepsAnswer, error) {
	select {
	case <-s.let:
	case <-ctx.Done():
	}
	return StepsAnswer{}, nil
}
