package franz

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/profilertest"
)

// cluster starts a broker on loopback.
func cluster(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// seed puts records into topic in and returns them as a consumer gets them.
func seed(t *testing.T, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	cl := client(t, c, kgo.ConsumeTopics("in"))
	for i := range n {
		r := &kgo.Record{Topic: "in", Value: fmt.Append(nil, "payload of ", i)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var got []*kgo.Record
	for len(got) < n {
		f := cl.PollFetches(t.Context())
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Records()...)
	}
	return got
}

// refuse makes the broker answer the next produce request with an error.
func refuse(c *kfake.Cluster, e *kerr.Error) {
	c.ControlKey(int16(kmsg.Produce), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		req := kr.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, e.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

func TestWorkflow(t *testing.T) {
	c := cluster(t)
	r := seed(t, c, 3)[2]
	for _, tt := range []struct {
		want string
		fn   func() error
	}{
		{"completed", func() error { return nil }},
		{"failed: no such order", func() error { return errors.New("no such order") }},
		{"panicked", func() error { panic("out of cheese") }},
		{"exited", func() error { runtime.Goexit(); return nil }},
	} {
		t.Run(tt.want, func(t *testing.T) {
			var e profilertest.Ear
			p := profilertest.Listen(t, &e)
			h := Workflow(p.Workflow("orders"), nil, func(ctx context.Context, r *kgo.Record) error {
				if id := profiler.ID(ctx); id != "in/0/2" {
					t.Errorf("id %q", id)
				}
				return tt.fn()
			})
			done := make(chan any, 1)
			go func() {
				var v any = "exited"
				defer func() {
					if p := recover(); p != nil {
						v = p
					}
					done <- v
				}()
				v = h(t.Context(), r)
			}()
			v := <-done
			profilertest.Equal(t, profilertest.Heard(t, p, &e), "in/0/2 orders "+tt.want)
			if got := fmt.Sprint(v); !slices.Contains([]string{"<nil>", "no such order", "out of cheese", "exited"}, got) {
				t.Errorf("came out %q", got)
			}
			if !slices.Equal(e.Payloads, []string{"payload of 2"}) {
				t.Errorf("payloads %q", e.Payloads)
			}
		})
	}
}

// TestOpenUntilProduced: the handler returned long ago, the broker is slow.
func TestOpenUntilProduced(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint(fails), func(t *testing.T) {
			var e profilertest.Ear
			p := profilertest.Listen(t, &e)
			c := cluster(t)
			r := seed(t, c, 1)[0]
			hook, err := NewHook(p.Producer("publish"))
			if err != nil {
				t.Fatal(err)
			}
			cl := client(t, c, kgo.WithHooks(hook), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.ManualFlushing())
			promised := make(chan error, 2)
			h := Workflow(p.Workflow("orders"), nil, func(ctx context.Context, r *kgo.Record) error {
				for range 2 {
					out := &kgo.Record{Topic: "out", Value: r.Value}
					cl.Produce(ctx, out, func(r *kgo.Record, err error) {
						if profiler.ID(r.Context) != "in/0/0" {
							t.Errorf("promised with the context of %q", profiler.ID(r.Context))
						}
						promised <- err
					})
				}
				return nil
			})
			if err := h(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if n := p.Stats().Open; n != 1 {
				t.Errorf("%d messages open before the brokers have it", n)
			}
			profilertest.Equal(t, profilertest.Ends(t, p, &e))
			if fails {
				refuse(c, kerr.MessageTooLarge)
			}
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			failure := <-promised
			if second := <-promised; fails != errors.Is(failure, kerr.MessageTooLarge) || fails != errors.Is(second, kerr.MessageTooLarge) {
				t.Errorf("promised %v and %v", failure, second)
			}
			word := "completed"
			if fails {
				word = "failed: " + failure.Error()
			}
			profilertest.Equal(t, profilertest.Heard(t, p, &e), "in/0/0 publish "+word, "in/0/0 publish "+word, "in/0/0 orders "+word)
		})
	}
}

// TestLeftOpen: after a panic nothing is waited for, and late ends are harmless.
func TestLeftOpen(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	c := cluster(t)
	r := seed(t, c, 1)[0]
	hook, err := NewHook(p.Producer("publish"))
	if err != nil {
		t.Fatal(err)
	}
	cl := client(t, c, kgo.WithHooks(hook), kgo.ManualFlushing())
	var kept context.Context
	h := Workflow(p.Workflow("orders"), nil, func(ctx context.Context, r *kgo.Record) error {
		kept = ctx
		cl.Produce(ctx, &kgo.Record{Topic: "out"}, nil)
		panic("out of cheese")
	})
	func() {
		defer func() { _ = recover() }()
		_ = h(t.Context(), r)
	}()
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "in/0/0 orders panicked")
	cl.Produce(kept, &kgo.Record{Topic: "out"}, nil) // the message has ended
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "in/0/0 orders panicked")
	if n := p.Stats().Late; n != 2 { // the end of one record, the start of the other
		t.Errorf("%d late events", n)
	}
}

// TestUnsendable: records that fail before they are sent are steps as well.
func TestUnsendable(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	hook, err := NewHook(p.Producer("publish"))
	if err != nil {
		t.Fatal(err)
	}
	cl := client(t, cluster(t), kgo.WithHooks(hook))
	ctx, span := p.Workflow("w").Begin(t.Context(), "m1")
	r := &kgo.Record{}
	if err := cl.ProduceSync(ctx, r).FirstErr(); err == nil {
		t.Error("no error without a topic")
	}
	if r.Context != ctx {
		t.Error("the record's context is not what it was")
	}
	span.End(nil)
	got := profilertest.Heard(t, p, &e)
	if len(got) != 2 || got[1] != "m1 w completed" || got[0][:18] != "m1 publish failed:" {
		t.Errorf("heard %q", got)
	}
}

func TestProduce(t *testing.T) {
	var e profilertest.Ear
	p := profilertest.Listen(t, &e)
	c := cluster(t)
	cl := client(t, c, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
	step := p.Producer("publish", profiler.Fence())
	var requests atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	ctx, span := p.Workflow("w").Begin(t.Context(), "m1")

	e.Answer(profilertest.ErrShut)
	if err := Produce(ctx, step, cl, &kgo.Record{Topic: "out"}); !errors.Is(err, profilertest.ErrShut) {
		t.Errorf("got %v", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests while the fence was shut", n)
	}
	e.Answer(nil)
	a, b := &kgo.Record{Topic: "out"}, &kgo.Record{Topic: "out"}
	if err := Produce(ctx, step, cl, a, b); err != nil || a.Offset+b.Offset != 1 {
		t.Errorf("%v, offsets %d and %d", err, a.Offset, b.Offset)
	}
	if a.Context != ctx {
		t.Error("the record has not the caller's context")
	}
	refuse(c, kerr.MessageTooLarge)
	err := Produce(ctx, step, cl, &kgo.Record{Topic: "out"})
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("got %v", err)
	}
	span.End(nil)
	profilertest.Equal(t, profilertest.Heard(t, p, &e), "m1 publish failed: not master", "m1 publish completed",
		"m1 publish failed: "+err.Error(), "m1 w completed")
}

func TestHookRefusesFence(t *testing.T) {
	p := profilertest.Listen(t, &profilertest.Ear{})
	if _, err := NewHook(p.Producer("publish", profiler.Fence())); err == nil {
		t.Error("a fence that does not fence")
	}
}

func TestDisabled(t *testing.T) {
	var p *profiler.Profiler
	hook, err := NewHook(p.Producer("publish"))
	if err != nil {
		t.Fatal(err)
	}
	c := cluster(t)
	cl := client(t, c, kgo.WithHooks(hook))
	n := 0
	h := Workflow(p.Workflow("w"), nil, func(ctx context.Context, r *kgo.Record) error {
		n++
		return Produce(ctx, p.Producer("publish"), cl, &kgo.Record{Topic: "out"})
	})
	if err := h(t.Context(), seed(t, c, 1)[0]); err != nil || n != 1 {
		t.Errorf("called %d times, %v", n, err)
	}
}
