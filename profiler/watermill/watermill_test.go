package watermill

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/profilertest"
)

// gate is a publisher that waits, or fails some times, before it publishes.
type gate struct {
	message.Publisher
	enter chan struct{} // told when Publish begins; nil: nobody
	leave chan struct{} // Publish waits for it
	fails atomic.Int32
	saw   func(*message.Message)
}

var errFull = errors.New("disk full")

func (g *gate) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if g.saw != nil {
			g.saw(m)
		}
	}
	if g.enter != nil {
		g.enter <- struct{}{}
		<-g.leave
	}
	if g.fails.Add(-1) >= 0 {
		return errFull
	}
	return g.Publisher.Publish(topic, messages...)
}

// Close does nothing: the router closes publishers while handlers still run.
func (g *gate) Close() error { return nil }

// rig is a router from topic "in" to topic "out", and who listens there.
type rig struct {
	in     *gochannel.GoChannel
	router *message.Router
	out    <-chan *message.Message
	stop   func()
}

func run(t *testing.T, cfg gochannel.Config, pub *gate, h message.HandlerFunc, decorate message.PublisherDecorator, mw ...message.HandlerMiddleware) *rig {
	t.Helper()
	in, bus := gochannel.NewGoChannel(cfg, wm.NopLogger{}), gochannel.NewGoChannel(cfg, wm.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, wm.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	pub.Publisher = bus
	router.AddMiddleware(mw...)
	if decorate != nil {
		router.AddPublisherDecorators(decorate)
	}
	router.AddHandler("h", "in", in, "out", pub, h)
	ctx, cancel := context.WithCancel(context.Background())
	out, err := bus.Subscribe(context.Background(), "out")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	<-router.Running()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, b := range []*gochannel.GoChannel{in, bus} {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	r := &rig{in, router, out, stop}
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) send(t *testing.T, uuid string) {
	t.Helper()
	if err := r.in.Publish("in", message.NewMessage(uuid, []byte("payload of "+uuid))); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) receive(t *testing.T) *message.Message {
	t.Helper()
	select {
	case m := <-r.out:
		m.Ack()
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return nil
	}
}

func forward(msg *message.Message) ([]*message.Message, error) {
	return message.Messages{message.NewMessage("out-"+msg.UUID, msg.Payload)}, nil
}

// TestEndsWithAck: while the router still publishes, the workflow is open.
func TestEndsWithAck(t *testing.T) {
	for _, cfg := range []gochannel.Config{{}, {PreserveContext: true}} {
		var e profilertest.Ear
		p := profilertest.Listen(t, &e)
		pub := &gate{enter: make(chan struct{}), leave: make(chan struct{})}
		r := run(t, cfg, pub, forward, Publisher(p.Producer("publish")), Middleware(p.Workflow("orders"), nil))
		r.send(t, "1")
		<-pub.enter // the handler and all middleware have returned
		if n := p.Stats().Open; n != 1 {
			t.Errorf("%d messages open before they are published", n)
		}
		profilertest.Equal(t, profilertest.Ends(t, p, &e))
		close(pub.leave)
		r.receive(t)
		profilertest.Equal(t, profilertest.Heard(t, p, &e), "h/1 publish completed", "h/1 orders completed")
		if got := strings.Join(e.Payloads, ","); got != "payload of 1" {
			t.Errorf("payloads %q", got)
		}
	}
}

// TestShutdown: a router that closes ends the message's context first. The
// workflow ends with the ack all the same.
func TestShutdown(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	pub := &gate{enter: make(chan struct{}), leave: make(chan struct{})}
	ended := make(chan struct{})
	r := run(t, gochannel.Config{}, pub, func(msg *message.Message) ([]*message.Message, error) {
		context.AfterFunc(msg.Context(), func() { close(ended) })
		return forward(msg)
	}, Publisher(p.Producer("publish")), Middleware(p.Workflow("orders"), nil))
	r.send(t, "1")
	<-pub.enter
	stop := r.stop
	r.stop = func() {}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	<-ended
	profilertest.Equal(t, profilertest.Ends(t, p, &e))
	if n := p.Stats().Open; n != 1 {
		t.Errorf("%d messages open before they are published", n)
	}
	close(pub.leave)
	<-stopped
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "h/1 publish completed", "h/1 orders completed")
}

// TestPublishFails: what could not be published is told, and comes again.
func TestPublishFails(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	pub := &gate{}
	pub.fails.Store(1)
	r := run(t, gochannel.Config{}, pub, forward, Publisher(p.Producer("publish")), Middleware(p.Workflow("orders"), nil))
	r.send(t, "1")
	r.receive(t)
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "h/1 publish failed: disk full", "h/1 orders failed: nacked", "h/1 publish completed", "h/1 orders completed")
	if n := p.Stats().Repeated; n != 0 {
		t.Errorf("%d deliveries began before the one before them had ended", n)
	}
}

func TestHandlerFails(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		fault      func() error
	}{
		{"error", "failed: no such order", func() error { return errors.New("no such order") }},
		{"panic", "panicked", func() error { panic("out of cheese") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e profilertest.Ear
			p := profilertest.Listen(t, &e)
			var n atomic.Int32
			r := run(t, gochannel.Config{}, &gate{}, func(msg *message.Message) ([]*message.Message, error) {
				if n.Add(1) == 1 {
					return nil, tt.fault()
				}
				return forward(msg)
			}, nil, Middleware(p.Workflow("orders"), nil))
			r.send(t, "1")
			r.receive(t)
			profilertest.Equal(t, profilertest.Heard(t, p, &e), "h/1 orders "+tt.want, "h/1 orders completed")
		})
	}
}

// TestGoexit: the router neither acks nor nacks, and waits; we tell, and let go.
func TestGoexit(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	h := Middleware(p.Workflow("orders"), nil)(func(*message.Message) ([]*message.Message, error) {
		runtime.Goexit()
		return nil, nil
	})
	gone := make(chan bool, 1)
	go func() {
		ok := true
		defer func() { gone <- ok && recover() == nil }()
		_, _ = h(message.NewMessage("1", nil))
		ok = false
	}()
	if !<-gone {
		t.Error("the goroutine went on")
	}
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "1 orders exited")
}

// TestRetry: outside of Retry one workflow with attempts, inside one for each.
func TestRetry(t *testing.T) {
	retry := middleware.Retry{MaxRetries: 3}.Middleware
	for _, outermost := range []bool{true, false} {
		var e profilertest.Ear
		p := profilertest.Listen(t, &e)
		hook := Middleware(p.Workflow("orders"), nil)
		validate := p.Service("validate")
		mw := []message.HandlerMiddleware{hook, retry}
		if !outermost {
			slices.Reverse(mw)
		}
		n := 0
		r := run(t, gochannel.Config{}, &gate{}, func(msg *message.Message) ([]*message.Message, error) {
			err := validate.Do(msg.Context(), "", func(context.Context) error {
				if n++; n < 3 {
					return errFull
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return forward(msg)
		}, nil, mw...)
		r.send(t, "1")
		r.receive(t)
		f, c := "h/1 validate failed: disk full", "h/1 validate completed"
		w, done := "h/1 orders failed: disk full", "h/1 orders completed"
		if outermost {
			profilertest.Equal(t, profilertest.Heard(t, p, &e), f, f, c, done)
		} else {
			profilertest.Equal(t, profilertest.Heard(t, p, &e), f, w, f, w, c, done)
		}
	}
}

// TestFence: what the fence refuses is not published, and comes again.
func TestFence(t *testing.T) {
	e := profilertest.Ear{Shut: profilertest.ErrShut}
	p := profilertest.Listen(t, &e)
	var published, inside atomic.Int32
	pub := &gate{saw: func(m *message.Message) {
		published.Add(1)
		if m.Context().Value(ownKey{}) == true {
			inside.Add(1)
		}
		if _, ok := m.Context().Deadline(); !ok {
			t.Error("published without the fence's deadline")
		}
	}}
	var deliveries atomic.Int32
	r := run(t, gochannel.Config{}, pub, func(msg *message.Message) ([]*message.Message, error) {
		if deliveries.Add(1) == 3 {
			if n := published.Load(); n != 0 {
				t.Errorf("%d published while the fence was shut", n)
			}
			e.Answer(nil)
		}
		out := message.NewMessage("out", nil)
		out.SetContext(context.WithValue(msg.Context(), ownKey{}, true))
		return message.Messages{out, message.NewMessage("out2", nil)}, nil
	}, Publisher(p.Producer("publish", profiler.Fence())), Middleware(p.Workflow("orders"), nil))
	r.send(t, "1")
	r.receive(t)
	r.receive(t)
	no, nacked := "h/1 publish failed: not master", "h/1 orders failed: nacked"
	profilertest.Equal(t, profilertest.Heard(t, p, &e), no, nacked, no, nacked, "h/1 publish completed", "h/1 orders completed")
	if published.Load() != 2 || inside.Load() != 1 || !slices.Equal(e.Fenced, []string{"h/1"}) {
		t.Errorf("published %d, own context %d, fenced %q", published.Load(), inside.Load(), e.Fenced)
	}
}

type ownKey struct{}

// TestOutside: a publisher without a router takes the UUID.
func TestOutside(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	bus := gochannel.NewGoChannel(gochannel.Config{}, wm.NopLogger{})
	defer bus.Close()
	pub, err := Publisher(p.Producer("publish", profiler.Fence()))(bus)
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish("out", message.NewMessage("a", nil), message.NewMessage("b", nil)); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish("out"); err != nil {
		t.Fatal(err)
	}
	got := profilertest.Heard(t, p, &e)
	slices.Sort(got) // there is no order between messages
	profilertest.Equal(t, got, "a publish completed", "b publish completed")
	if !slices.Equal(e.Fenced, []string{"a", "b"}) {
		t.Errorf("fenced %q", e.Fenced)
	}
}

// TestAgain: a nacked delivery has ended before the next of its id begins.
func TestAgain(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	h := Middleware(p.Workflow("orders"), nil)(func(*message.Message) ([]*message.Message, error) { return nil, nil })
	for range 1000 {
		msg := message.NewMessage("1", nil)
		if _, err := h(msg); err != nil {
			t.Fatal(err)
		}
		msg.Nack()
	}
	profilertest.Heard(t, p, &e)
	if s := p.Stats(); s.Repeated != 0 || s.Late != 0 {
		t.Errorf("%+v", s)
	}
}

// TestLiteral: a message that NewMessage did not make has nothing to wait for.
func TestLiteral(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	h := Middleware(p.Workflow("orders"), nil)(func(*message.Message) ([]*message.Message, error) { return nil, nil })
	if _, err := h(&message.Message{UUID: "1"}); err != nil {
		t.Fatal(err)
	}
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "1 orders completed")
}

func TestDisabled(t *testing.T) {
	var p *profiler.Profiler
	n := 0
	h := Middleware(p.Workflow("w"), nil)(func(msg *message.Message) ([]*message.Message, error) { n++; return nil, nil })
	if _, err := h(message.NewMessage("1", nil)); err != nil || n != 1 {
		t.Errorf("called %d times, %v", n, err)
	}
	bus := gochannel.NewGoChannel(gochannel.Config{}, wm.NopLogger{})
	defer bus.Close()
	if pub, err := Publisher(p.Producer("w"))(bus); err != nil || pub != message.Publisher(bus) {
		t.Errorf("a disabled publisher is not the publisher: %v", err)
	}
}
