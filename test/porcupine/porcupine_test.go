package porcupine

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/cache/cachetest"
)

var (
	seed      = flag.Uint64("seed", 1, "first seed")
	histories = flag.Int("histories", 400, "histories")
	ops       = flag.Int("ops", 500, "operations of one history")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Variants of the system that must be caught.
type variant struct {
	async     bool // puts return before any slave holds them
	noBarrier bool // who becomes master does not ask the others
}

// input is what a client asked for.
type input struct {
	op    string // put, get; a removal is a put of nothing
	key   string
	value string
}

// register is one key.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		var keys []string
		for _, op := range history {
			key := op.Input.(input).key
			if byKey[key] == nil {
				keys = append(keys, key)
			}
			byKey[key] = append(byKey[key], op)
		}
		slices.Sort(keys)
		var all [][]porcupine.Operation
		for _, key := range keys {
			all = append(all, byKey[key])
		}
		return all
	},
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		if in := in.(input); in.op == "put" {
			return true, in.value
		}
		return out.(string) == state.(string), state
	},
	DescribeOperation: func(in, out any) string {
		if in := in.(input); in.op == "put" {
			return fmt.Sprintf("put(%s, %q)", in.key, in.value)
		}
		return fmt.Sprintf("get(%s) = %q", in.(input).key, out)
	},
}

// recorder keeps a history. A counter is its clock: it never tells two moments
// as one.
type recorder struct {
	clock atomic.Int64
	mu    sync.Mutex // guards what follows
	all   []porcupine.Operation
	open  []porcupine.Operation // with an unknown outcome
}

func (r *recorder) add(client int, in input, call int64, out string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: r.clock.Add(1)}
	switch {
	case err == nil:
		r.all = append(r.all, op)
	case in.op == "put":
		r.open = append(r.open, op)
	}
}

// history is all that happened. A put of unknown outcome never ended; one that
// nobody ever read can be left out, since it may have come after all others.
func (r *recorder) history() []porcupine.Operation {
	all := slices.Clone(r.all)
	end := r.clock.Load() + 1
	for _, op := range r.open {
		in := op.Input.(input)
		// A removal leaves no mark of its own: it stays.
		if in.value == "" || slices.ContainsFunc(r.all, func(o porcupine.Operation) bool {
			return o.Input.(input).op == "get" && o.Input.(input).key == in.key && o.Output.(string) == in.value
		}) {
			op.Return = end
			all = append(all, op)
		}
	}
	return all
}

// run makes one history. It reports how many masters died.
func run(t *testing.T, seed uint64, v variant) (history []porcupine.Operation, died int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 7))
		l := cachetest.NewLab(cachetest.LabConfig{
			Seed:   seed,
			Caches: []cache.Spec{{Name: "store", Eternal: true, Synchronous: !v.async}},
			Change: func(c *cache.Config) { c.WhenAlone = cache.AloneBlock },
		})
		l.Fabric.SetLink(cachetest.Link{Delay: time.Duration(100+rng.IntN(900)) * time.Microsecond, Jitter: time.Millisecond})
		for _, name := range []string{"a", "b", "c"} {
			l.Start(name)
		}
		l.Elect(l.On("a"))
		r := &recorder{}
		var done atomic.Int64
		var clients sync.WaitGroup
		for n := range 4 {
			rng := rand.New(rand.NewPCG(seed, uint64(100+n)))
			clients.Go(func() {
				for done.Add(1) <= int64(*ops) {
					time.Sleep(time.Duration(1 + rng.Int64N(int64(3*time.Millisecond))))
					client(l, r, n, rng, v)
				}
			})
		}
		for done.Load() < int64(*ops) {
			time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
			died += disturb(l, rng, v)
		}
		clients.Wait()
		history = r.history()
		if v == (variant{}) {
			l.Calm(20 * time.Second)
			for _, fault := range l.Faults() {
				t.Errorf("seed %d: %s", seed, fault)
			}
		}
		l.Close()
	})
	return history, died
}

// client does one operation on who takes itself for the master.
func client(l *cachetest.Lab, r *recorder, n int, rng *rand.Rand, v variant) {
	open := l.Writers()
	if len(open) == 0 {
		return
	}
	i := open[rng.IntN(len(open))]
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	key := fmt.Sprint("k", rng.IntN(4))
	switch rng.IntN(8) {
	case 0:
		call := r.clock.Add(1)
		err := i.Remove(ctx, "store", key)
		r.add(n, input{"put", key, ""}, call, "", i.Heard(err))
	case 1, 2, 3:
		call := r.clock.Add(1)
		value, err := i.Put(ctx, "store", key, 0, false)
		r.add(n, input{"put", key, value}, call, "", i.Heard(err))
	default:
		named, err := i.Cache.Named("store")
		if err != nil {
			return
		}
		call := r.clock.Add(1)
		e, _ := named.Get(key)
		if err = i.Cache.Flush(ctx); v.async {
			err = nil
		}
		r.add(n, input{"get", key, ""}, call, string(e.Value), i.Heard(err))
	}
}

// disturb kills somebody, if a slave survives that knows itself in step, and
// makes another one the master.
func disturb(l *cachetest.Lab, rng *rand.Rand, v variant) (died int) {
	master := l.Master()
	if master == nil {
		l.Elect(l.Alive()[0])
		return 0
	}
	for _, name := range []string{"a", "b", "c"} {
		if l.On(name) == nil {
			l.Start(name)
			l.Resolve()
			return 0
		}
	}
	slaves := slices.DeleteFunc(l.Alive(), func(i *cachetest.Instance) bool { return i == master })
	victim := l.Alive()[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		victim = master
	}
	inStep := slices.ContainsFunc(slaves, func(i *cachetest.Instance) bool {
		return i != victim && i.Cache.Status().Following.InStep
	})
	if !inStep && !v.async {
		return 0
	}
	if victim != master {
		l.Kill(victim, false)
		return 0
	}
	heir := slaves[rng.IntN(len(slaves))]
	if rng.IntN(3) == 0 {
		l.HandOver(master, heir)
		return 0
	}
	if v.noBarrier { // a slave that lags, as one may
		l.Fabric.Cut(master.Name, heir.Name)
		time.Sleep(400 * time.Millisecond)
	}
	l.Kill(master, false)
	if v.noBarrier {
		l.Fabric.HealAll()
		l.Crown(heir, master.Cache.Pos().Epoch+1)
		l.Resolve()
		return 1
	}
	time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond))))
	l.Elect(heir)
	return 1
}

func check(t *testing.T, history []porcupine.Operation) porcupine.CheckResult {
	t.Helper()
	result := porcupine.CheckOperationsTimeout(register, history, time.Minute)
	if result == porcupine.Unknown {
		t.Error("the checker did not get to an end within a minute")
	}
	return result
}

// TestLinearizable: synchronous histories are.
func TestLinearizable(t *testing.T) {
	died, gets, puts := 0, 0, 0
	for n := range uint64(*histories) {
		history, d := run(t, *seed+n, variant{})
		died += d
		for _, op := range history {
			switch in := op.Input.(input); {
			case in.op == "get":
				gets++
			default:
				puts++
			}
		}
		if check(t, history) != porcupine.Ok {
			t.Errorf("seed %d: the history is not linearizable:\n%s", *seed+n, describe(history))
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories: %d puts, %d gets, %d dead masters", *histories, puts, gets, died)
	if died < *histories || gets < *histories**ops/10 || puts < *histories**ops/10 {
		t.Error("too little happened")
	}
}

func describe(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var lines []string
	for _, op := range history {
		lines = append(lines, fmt.Sprintf("%6d..%-6d client %d %s", op.Call, op.Return, op.ClientId, register.DescribeOperation(op.Input, op.Output)))
	}
	return strings.Join(lines, "\n")
}

// TestCaught: the checker finds what breaks the promise.
func TestCaught(t *testing.T) {
	for _, c := range []struct {
		name string
		v    variant
	}{
		{"a put returns before a slave holds it", variant{async: true}},
		{"no barrier before a promotion", variant{noBarrier: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range uint64(100) {
				history, _ := run(t, *seed+n, c.v)
				if check(t, history) == porcupine.Illegal {
					t.Logf("caught by seed %d", *seed+n)
					return
				}
			}
			t.Error("not caught in 100 histories")
		})
	}
}

// TestForged: a get that shows what had been written over is caught.
func TestForged(t *testing.T) {
	history, _ := run(t, *seed, variant{})
	if check(t, history) != porcupine.Ok {
		t.Fatal("the history is not linearizable as it is")
	}
	forged := 0
	for g, get := range history {
		if get.Input.(input).op != "get" {
			continue
		}
		if old, ok := overwritten(history, get); ok {
			bad := slices.Clone(history)
			bad[g].Output = old
			if check(t, bad) != porcupine.Illegal {
				t.Fatalf("get %d..%d of %q instead of %q is not caught", get.Call, get.Return, old, get.Output)
			}
			if forged++; forged == 20 {
				return
			}
		}
	}
	t.Fatalf("only %d gets could be forged", forged)
}

// overwritten is a value that was surely written over before the get began.
func overwritten(history []porcupine.Operation, get porcupine.Operation) (string, bool) {
	for _, first := range history {
		for _, second := range history {
			p, q, g := first.Input.(input), second.Input.(input), get.Input.(input)
			if p.op == "put" && q.op == "put" && p.key == g.key && q.key == g.key && p.value != "" &&
				first.Return < second.Call && second.Return < get.Call {
				return p.value, true
			}
		}
	}
	return "", false
}
