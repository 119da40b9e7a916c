package cloudevents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/cloudevents/sdk-go/v2/protocol/gochan"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/profilertest"
)

func order(id string) event.Event {
	e := event.New()
	e.SetSource("/shop")
	e.SetID(id)
	e.SetType("order")
	if err := e.SetData(event.TextPlain, "cheese"); err != nil {
		panic(err)
	}
	return e
}

// wire is a channel between a client that sends and one that receives.
type wire struct {
	sender, receiver client.Client
	finished         chan error // told how each event's message was finished
}

// told is a message that tells how it was finished.
func (w *wire) told(m binding.Message) binding.Message {
	return binding.WithFinish(m, func(err error) { w.finished <- err })
}

// listening is gochan's receiver, whose messages tell.
type listening struct {
	gochan.Receiver
	w *wire
}

func (l listening) Receive(ctx context.Context) (binding.Message, error) {
	m, err := l.Receiver.Receive(ctx)
	if err != nil {
		return nil, err
	}
	return l.w.told(m), nil
}

func connect(t *testing.T) *wire {
	t.Helper()
	ch := make(chan binding.Message, 10)
	w := &wire{finished: make(chan error, 10)}
	var err error
	if w.sender, err = client.New(gochan.Sender(ch)); err != nil {
		t.Fatal(err)
	}
	if w.receiver, err = client.New(listening{gochan.Receiver(ch), w}, client.WithPollGoroutines(1)); err != nil {
		t.Fatal(err)
	}
	return w
}

// receive runs a receiver until the test ends.
func (w *wire) receive(t *testing.T, fn any) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.receiver.StartReceiver(ctx, fn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestReceiver(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		acked      bool
		fn         func() protocol.Result
	}{
		{"nil", "completed", true, func() protocol.Result { return nil }},
		{"ack", "completed", true, func() protocol.Result { return protocol.NewReceipt(true, "fine") }},
		{"wrapped ack", "completed", true, func() protocol.Result { return fmt.Errorf("well: %w", protocol.ResultACK) }},
		{"nack", "failed: sold out", false, func() protocol.Result { return protocol.NewReceipt(false, "sold out") }},
		{"error", "failed: sold out", false, func() protocol.Result { return errors.New("sold out") }},
		{"panic", "panicked", false, func() protocol.Result { panic("out of cheese") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e profilertest.Ear
			p := profilertest.Listen(t, &e)
			w := connect(t)
			w.receive(t, Receiver(p.Workflow("orders"), nil, func(ctx context.Context, ev event.Event) protocol.Result {
				if id := profiler.ID(ctx); id != "/shop|1" {
					t.Errorf("id %q", id)
				}
				return tt.fn()
			}))
			if err := w.sender.Send(t.Context(), order("1")); !protocol.IsACK(err) {
				t.Fatal(err)
			}
			if err := <-w.finished; protocol.IsACK(err) != tt.acked {
				t.Errorf("finished with %v", err)
			}
			profilertest.Equal(t, profilertest.Heard(t, p, &e), "/shop|1 orders "+tt.want)
			if got := strings.Join(e.Payloads, ","); got != "cheese" {
				t.Errorf("payloads %q", got)
			}
		})
	}
}

// TestPipe takes an event, and answers one, with a client in between.
func TestPipe(t *testing.T) {
	var e, asks profilertest.Ear
	p, asker := profilertest.Listen(t, &e), profilertest.Listen(t, &asks)
	in, out := make(chan binding.Message, 1), make(chan gochan.ChanResponderResponse, 1)
	server, err := client.New(&gochan.Responder{In: in, Out: out}, client.WithPollGoroutines(1))
	if err != nil {
		t.Fatal(err)
	}
	requester, err := client.New(&gochan.Requester{Ch: in, Reply: func(binding.Message) (binding.Message, error) {
		r := <-out
		return r.Message, r.Result
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := connect(t)
	sink := Client(p.Producer("publish"), w.sender)
	done := make(chan error, 1)
	go func() {
		done <- server.StartReceiver(context.Background(), Responder(p.Workflow("orders"), nil, func(ctx context.Context, ev event.Event) (*event.Event, protocol.Result) {
			if err := sink.Send(ctx, order("priced-"+ev.ID())); !protocol.IsACK(err) {
				return nil, err
			}
			answer := order("answer-" + ev.ID())
			return &answer, nil
		}))
	}()
	answer, result := Client(asker.Producer("ask", profiler.Fence()), requester).Request(t.Context(), order("1"))
	if !protocol.IsACK(result) || answer == nil || answer.ID() != "answer-1" {
		t.Errorf("%v, %v", answer, result)
	}
	close(in)
	if err := <-done; err != nil {
		t.Error(err)
	}
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "/shop|1 publish completed", "/shop|1 orders completed")
	profilertest.Equal(t, profilertest.Heard(t, asker, &asks), "/shop|1 ask completed")
	if strings.Join(asks.Fenced, ",") != "/shop|1" {
		t.Errorf("fenced %q", asks.Fenced)
	}
}

func TestSendFails(t *testing.T) {
	e := profilertest.Ear{}
	p := profilertest.Listen(t, &e)
	w := connect(t)
	c := Client(p.Producer("publish", profiler.Fence()), w.sender)
	ctx, span := p.Workflow("w").Begin(t.Context(), "m1")

	err := c.Send(ctx, event.New()) // says nothing
	var invalid event.ValidationError
	if !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	e.Answer(profilertest.ErrShut)
	if err := c.Send(ctx, order("1")); !errors.Is(err, profilertest.ErrShut) || !protocol.IsUndelivered(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Request(ctx, order("1")); !errors.Is(err, profilertest.ErrShut) {
		t.Errorf("got %v", err)
	}
	span.End(nil)
	got := profilertest.Heard(t, p, &e)
	if len(got) == 4 && strings.Contains(got[0], "source: REQUIRED") {
		got = got[1:]
	}
	profilertest.Equal(t, got, "m1 publish failed: not master", "m1 publish failed: not master", "m1 w completed")
	if ID(event.Event{}) != "" || ID(order("")) != "" {
		t.Error("an event without an id has one")
	}
}

func TestDisabled(t *testing.T) {
	var p *profiler.Profiler
	w := connect(t)
	if c := Client(p.Producer("w"), w.sender); c != w.sender {
		t.Error("a disabled client is not the client")
	}
	n := 0
	fn := func(context.Context, event.Event) protocol.Result { n++; return nil }
	if err := Receiver(p.Workflow("w"), nil, fn)(t.Context(), order("1")); err != nil || n != 1 {
		t.Errorf("called %d times, %v", n, err)
	}
	answer := func(context.Context, event.Event) (*event.Event, protocol.Result) { n++; return nil, nil }
	if _, err := Responder(p.Workflow("w"), nil, answer)(t.Context(), order("1")); err != nil || n != 2 {
		t.Errorf("called %d times, %v", n, err)
	}
}
