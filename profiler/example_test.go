package profiler_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// printer is a plugin that prints what it hears.
type printer struct{}

func (printer) Observe(batch []profiler.Event) {
	for _, e := range batch {
		fmt.Printf("%s %d %v %v", e.ID, e.Order, e.Step, e.Phase)
		if e.Detail != nil && e.Detail.Err != "" {
			fmt.Printf(": %s", e.Detail.Err)
		}
		fmt.Println()
	}
}

// listen is a profiler that runs until stop is called.
func listen(plugins ...profiler.Plugin) (p *profiler.Profiler, stop func()) {
	p, err := profiler.New(profiler.Config{Plugins: plugins, Flush: time.Hour}) // one batch, for the examples' sake
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			panic(err)
		}
	}
}

// Order is a message of the examples.
type Order struct {
	Number string
	Body   []byte
}

func (o *Order) ID() string      { return o.Number }
func (o *Order) Payload() []byte { return o.Body }

func validate(context.Context, *Order) error { return nil }
func publish(context.Context, *Order) error  { return errors.New("queue is gone") }

func Example() {
	p, stop := listen(printer{})

	check := profiler.Wrap(p.Service("validate"), validate)
	out := profiler.Wrap(p.Producer("publish"), publish)
	handle := profiler.Wrap(p.Workflow("orders"), func(ctx context.Context, o *Order) error {
		if err := check(ctx, o); err != nil {
			return err
		}
		return out(ctx, o)
	})
	fmt.Println(handle(context.Background(), &Order{Number: "4711"}))

	stop()
	// Output:
	// queue is gone
	// 4711 1 WORKFLOW orders started
	// 4711 2 SERVICE validate completed
	// 4711 3 PRODUCER publish failed: queue is gone
	// 4711 1 WORKFLOW orders failed: queue is gone
}

func ExampleNew() {
	p, err := profiler.New(profiler.Config{
		Plugins:  []profiler.Plugin{printer{}},
		Overflow: profiler.Block, // wait rather than forget
		Payload:  true,           // keep the bytes of messages in flight
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // in a program: when it ends
	_ = p.Workflow("orders").Do(ctx, "4711", func(context.Context) error { return nil })
	fmt.Println(p.Run(ctx))
	// Output:
	// 4711 1 WORKFLOW orders completed
	// <nil>
}

func ExampleProfiler_Run() {
	p, _ := profiler.New(profiler.Config{Plugins: []profiler.Plugin{printer{}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()

	_ = p.Workflow("orders").Do(ctx, "4711", func(context.Context) error { return nil })

	cancel()
	fmt.Println(<-done) // what was left has been told
	// Output:
	// 4711 1 WORKFLOW orders completed
	// <nil>
}

func ExampleProfiler_Flush() {
	p, stop := listen(printer{})
	defer stop()
	_ = p.Workflow("orders").Do(context.Background(), "4711", func(context.Context) error { return nil })

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for errors.Is(p.Flush(ctx), profiler.ErrNotRunning) { // Run may not have got so far
	}
	fmt.Println("told")
	// Output:
	// 4711 1 WORKFLOW orders completed
	// told
}

func ExampleProfiler_Stats() {
	p, stop := listen()
	_, span := p.Workflow("orders").Begin(context.Background(), "")
	s := p.Stats()
	fmt.Printf("%d in flight, %d without an id, %d dropped\n", s.Open, s.Unnamed, s.Dropped)
	span.End(nil)
	stop()
	// Output: 1 in flight, 1 without an id, 0 dropped
}

func ExampleProfiler_Running() {
	p, stop := listen()
	_, span := p.Workflow("orders").Begin(context.Background(), "4711")
	fmt.Println(p.Running("4711"))
	span.End(nil)
	fmt.Println(p.Running("4711"))
	stop()
	// Output:
	// true
	// false
}

func ExampleProfiler_Room() {
	p, stop := listen()
	if !p.Room("4711") {
		fmt.Println("come again later")
	}
	stop()
	// Output:
}

func ExampleProfiler_Base() {
	p, stop := listen()
	when := 3 * time.Second // as Event.At says
	fmt.Println(p.Base().Add(when).Sub(p.Base()))
	stop()
	// Output: 3s
}

func ExampleProfiler_Channel() {
	p, stop := listen(printer{})
	channel := p.Channel("main")
	_ = channel.Do(context.Background(), "", func(context.Context) error {
		return errors.New("broker is gone")
	})
	stop()
	// Output: 0 CHANNEL main failed: broker is gone
}

func ExampleProfiler_Workflow() {
	p, stop := listen(printer{})
	flow := p.Workflow("orders")
	for range 2 { // the second attempt has Event.Attempt 2
		_ = flow.Do(context.Background(), "4711", func(context.Context) error { return errors.New("no stock") })
	}
	stop()
	// Output:
	// 4711 1 WORKFLOW orders failed: no stock
	// 4711 1 WORKFLOW orders failed: no stock
}

func ExampleProfiler_Consumer() {
	p, stop := listen(printer{})
	flow, take := p.Workflow("orders"), p.Consumer("inbox")
	_ = flow.Do(context.Background(), "4711", func(ctx context.Context) error {
		return take.Do(ctx, "", func(context.Context) error { return nil }) // read the body
	})
	stop()
	// Output:
	// 4711 1 WORKFLOW orders started
	// 4711 2 CONSUMER inbox completed
	// 4711 1 WORKFLOW orders completed
}

func ExampleProfiler_Service() {
	p, stop := listen(printer{})
	_, span := p.Workflow("orders").Begin(context.Background(), "4711")
	// Code that has no context to hand on says the id.
	_ = p.Service("validate").Do(context.Background(), "4711", func(context.Context) error { return nil })
	span.End(nil)
	stop()
	// Output:
	// 4711 1 WORKFLOW orders started
	// 4711 2 SERVICE validate completed
	// 4711 1 WORKFLOW orders completed
}

func ExampleProfiler_Producer() {
	p, stop := listen(printer{})
	out := p.Producer("publish", profiler.Instance("queue-7"))
	fmt.Println(out, out.Name(), out.Instance(), out.Kind(), out.Fenced())
	stop()
	// Output: PRODUCER publish publish queue-7 PRODUCER false
}

// guard agrees to steps while it is open.
type guard struct{ open bool }

func (*guard) Observe([]profiler.Event) {}

func (g *guard) Fence(ctx context.Context, id string, ev profiler.Event) (context.Context, error) {
	if !g.open {
		return nil, fmt.Errorf("%v of %s: not master", ev.Step, id)
	}
	return ctx, nil
}

func ExampleFence() {
	g := &guard{open: true}
	p, stop := listen(g)
	flow, out := p.Workflow("orders"), p.Producer("publish", profiler.Fence())
	publish := func(context.Context) error { fmt.Println("published"); return nil }
	_ = flow.Do(context.Background(), "4711", func(ctx context.Context) error {
		fmt.Println(out.Do(ctx, "", publish))
		g.open = false
		fmt.Println(out.Do(ctx, "", publish))
		return nil
	})
	stop()
	// Output:
	// published
	// <nil>
	// PRODUCER publish of 4711: not master
}

func ExampleFencer() {
	p, stop := listen(&guard{})
	err := p.Producer("publish", profiler.Fence()).Do(context.Background(), "4711", func(context.Context) error {
		panic("does not run")
	})
	fmt.Println(err)
	stop()
	// Output: PRODUCER publish of 4711: not master
}

func ExampleInstance() {
	p, stop := listen()
	a, b := p.Producer("publish", profiler.Instance("a")), p.Producer("publish", profiler.Instance("b"))
	fmt.Println(a.Name() == b.Name(), a.Instance(), b.Instance())
	stop()
	// Output: true a b
}

// parents prints which step is in which.
type parents struct{}

func (parents) Observe(batch []profiler.Event) {
	for _, e := range batch {
		fmt.Printf("%d in %d: %v %v\n", e.Order, e.Parent, e.Step, e.Phase)
	}
}

func ExampleNest() {
	p, stop := listen(parents{})
	flow, outer, inner := p.Workflow("orders"), p.Service("price", profiler.Nest()), p.Service("tax")
	_ = flow.Do(context.Background(), "4711", func(ctx context.Context) error {
		return outer.Do(ctx, "", func(ctx context.Context) error {
			return inner.Do(ctx, "", func(context.Context) error { return nil })
		})
	})
	stop()
	// Output:
	// 1 in 0: WORKFLOW orders started
	// 2 in 1: SERVICE price started
	// 3 in 2: SERVICE tax completed
	// 2 in 1: SERVICE price completed
	// 1 in 0: WORKFLOW orders completed
}

func ExampleStep_Do() {
	p, stop := listen(printer{})
	err := p.Service("validate").Do(context.Background(), "4711", func(ctx context.Context) error {
		return errors.New("no such customer")
	})
	fmt.Println(err)
	stop()
	// Output:
	// no such customer
	// 4711 0 SERVICE validate failed: no such customer
}

func ExampleStep_Begin() {
	p, stop := listen(printer{})
	flow := p.Workflow("orders")
	handle := func(ctx context.Context, o *Order) (err error) {
		ctx, span := flow.Begin(ctx, o.Number)
		defer span.End(&err)

		return validate(ctx, o)
	}
	_ = handle(context.Background(), &Order{Number: "4711"})
	stop()
	// Output: 4711 1 WORKFLOW orders completed
}

func ExampleStep_BeginPayload() {
	p, _ := profiler.New(profiler.Config{Payload: true})
	ctx, span := p.Workflow("orders").BeginPayload(context.Background(), "4711", []byte("3 apples"))
	m, _ := profiler.From(ctx)
	fmt.Printf("%s\n", m.Payload)
	span.End(nil)
	// Output: 3 apples
}

func ExampleSpan_End() {
	p, stop := listen(printer{})
	flow := p.Workflow("orders")
	handle := func(ctx context.Context) (err error) {
		_, span := flow.Begin(ctx, "4711")
		defer span.End(&err) // sees the error that is returned, and panics
		panic("no stock")
	}
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		_ = handle(context.Background())
	}()
	stop()
	// Unordered output:
	// 4711 1 WORKFLOW orders panicked: panic: no stock
	// recovered: no stock
}

func ExampleWrap() {
	p, stop := listen(printer{})
	handle := profiler.Wrap(p.Workflow("orders"), validate)
	_ = handle(context.Background(), &Order{Number: "4711"})
	stop()
	// Output: 4711 1 WORKFLOW orders completed
}

func ExampleWrapID() {
	p, stop := listen(printer{})
	load := func(_ context.Context, path string) error { return nil }
	handle := profiler.WrapID(p.Workflow("files"), filepath.Base, load)
	_ = handle(context.Background(), filepath.Join("in", "4711.csv"))
	stop()
	// Output: 4711.csv 1 WORKFLOW files completed
}

// history knows what the predecessor has done.
type history map[string]bool

func (h history) Seen(id string) bool { return h[id] }

func ExampleDedupe() {
	handle := profiler.Dedupe(history{"4711": true}, func(_ context.Context, o *Order) error {
		fmt.Println("handle", o.Number)
		return nil
	})
	for _, number := range []string{"4711", "4712"} {
		_ = handle(context.Background(), &Order{Number: number})
	}
	// Output: handle 4712
}

func ExampleRegister() {
	err := profiler.Register("printer", func(profiler.PluginConfig) (profiler.Plugin, error) {
		return printer{}, nil
	})
	fmt.Println(err)
	plugins, err := profiler.Open("printer", profiler.PluginConfig{})
	fmt.Println(len(plugins), err)
	// Output:
	// <nil>
	// 1 <nil>
}

func ExampleOpen() {
	plugins, err := profiler.Open(profiler.FailoverFactory, profiler.PluginConfig{
		Log:   func(text string) { fmt.Fprintln(os.Stderr, text) },
		Given: map[string]profiler.Plugin{"failover": printer{}},
	})
	fmt.Println(len(plugins), err)
	// Output: 1 <nil>
}

func ExampleCheck() {
	err := profiler.Check("failover, nonesuch", "failover")
	unknown, ok := errors.AsType[*profiler.UnknownError](err)
	fmt.Println(ok, unknown.Name)
	// Output: true nonesuch
}

func ExampleUnknownError_Error() {
	fmt.Println(&profiler.UnknownError{Name: "metric", Known: []string{"log", "metrics"}})
	// Output: profiler: open plugin "metric": no such plugin; known are log, metrics
}

func ExampleUnknownError_Instead() {
	unknown := &profiler.UnknownError{Name: "metric", Known: []string{"log", "metrics"}}
	fmt.Println(unknown.Instead())
	// Output: known are log, metrics
}

func ExampleFrom() {
	p, stop := listen()
	_ = p.Workflow("orders").Do(context.Background(), "4711", func(ctx context.Context) error {
		m, ok := profiler.From(ctx)
		fmt.Println(m.ID, m.Workflow, m.Attempt, ok)
		return nil
	})
	stop()
	// Output: 4711 WORKFLOW orders 1 true
}

func ExampleID() {
	p, stop := listen()
	_ = p.Workflow("orders").Do(context.Background(), "4711", func(ctx context.Context) error {
		fmt.Println(profiler.ID(ctx))
		return nil
	})
	stop()
	// Output: 4711
}

// slowest is a plugin that keeps the longest step.
type slowest struct {
	name string
	took time.Duration
	lost uint64
}

func (s *slowest) Observe(batch []profiler.Event) {
	for _, e := range batch {
		if e.Phase != profiler.Started && e.Took > s.took {
			s.name, s.took = e.Step.Name(), e.Took
		}
	}
}

func (s *slowest) Lost(events uint64) { s.lost += events }

func ExamplePlugin() {
	s := new(slowest)
	p, stop := listen(s)
	_ = p.Service("wait").Do(context.Background(), "", func(context.Context) error {
		time.Sleep(time.Millisecond)
		return nil
	})
	stop()
	fmt.Println(s.name, s.took >= time.Millisecond)
	// Output: wait true
}

func ExampleLoser() {
	s := new(slowest)
	var _ profiler.Loser = s
	p, stop := listen(s)
	_ = p.Service("wait").Do(context.Background(), "", func(context.Context) error { return nil })
	stop()
	fmt.Println(s.lost)
	// Output: 0
}

func ExampleEvent_Time() {
	begin := time.Now()
	p, stop := listen(observer(func(batch []profiler.Event) {
		fmt.Println(batch[0].Time().Before(begin))
	}))
	_ = p.Service("validate").Do(context.Background(), "", func(context.Context) error { return nil })
	stop()
	// Output: false
}
