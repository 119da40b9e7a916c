//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/cache"
)

// The two caches of every instance.
const (
	asyncName = "async"
	syncName  = "sync"
)

// role is the child's side: it does what it is told on stdin.
type role struct {
	c     *cache.Cache
	lag   *lag
	epoch uint64

	mu      sync.Mutex // guards out and profile
	out     *bufio.Writer
	profile *os.File
}

// roleMain serves requests until stdin ends. Each has a goroutine of its own.
func roleMain() int {
	r := &role{out: bufio.NewWriter(os.Stdout)}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if q.Op == "open" {
			r.answer(q, r.open)
			continue
		}
		go r.answer(q, r.do)
	}
	r.setProfile("")
	return 0
}

func (r *role) answer(q request, do func(request) (answer, error)) {
	a, err := do(q)
	a.ID = q.ID
	if err != nil {
		a.Err = err.Error()
	}
	b, err := json.Marshal(a)
	if err != nil {
		b = fmt.Appendf(nil, `{"ID":%d,"Err":%q}`, q.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Write(append(b, '\n'))
	_ = r.out.Flush()
}

func instanceID(s string) (id cache.InstanceID) {
	_, _ = hex.Decode(id[:], []byte(s))
	return id
}

func (r *role) open(q request) (answer, error) {
	cfg := q.Config
	c := cache.Config{
		Cluster: "bench", Name: cfg.Name, Instance: instanceID(cfg.Instance),
		Bind: netip.MustParseAddrPort("127.0.0.1:0"), Peers: cfg.Peers, RingBytes: cfg.Ring,
		Caches: []cache.Spec{
			{Name: asyncName, MaxEntries: cfg.Max, Eternal: true},
			{Name: syncName, MaxEntries: cfg.Max, Eternal: true, Synchronous: true},
		},
		Log: zerolog.New(os.Stderr).Level(zerolog.ErrorLevel).With().Str("name", cfg.Name).Logger(),
	}
	if cfg.Keyed {
		c.Keys = [][32]byte{sha256.Sum256([]byte("a key of the bench"))}
	}
	start := time.Now()
	if cfg.Events {
		c.OnEvent = func(e cache.Event) {
			fmt.Fprintf(os.Stderr, "    %-8s %7.3f s  %s %s %s\n", cfg.Name, time.Since(start).Seconds(), e.Type, e.Name, e.Detail)
		}
	}
	opened, err := cache.Open(c)
	if err != nil {
		return answer{}, err
	}
	r.c = opened
	go func() {
		if err := opened.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, cfg.Name, "run:", err)
			os.Exit(1)
		}
	}()
	return answer{Addr: opened.Addr().String()}, nil
}

func (r *role) do(q request) (a answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	switch q.Op {
	case "promote":
		r.epoch = 1
		return a, r.c.Promote(cache.Reign{Epoch: 1, Instance: instanceID(q.Reign)})
	case "follow":
		addr, err := netip.ParseAddrPort(q.Addr)
		if err != nil {
			return a, err
		}
		r.c.Follow(cache.Reign{Epoch: 1, Instance: instanceID(q.Reign)}, addr)
		return a, nil
	case "fast", "sync", "paced":
		n, err := r.c.Named(q.Cache)
		if err != nil {
			return a, err
		}
		l := load{c: r.c, n: n, keys: q.Keys}
		switch q.Op {
		case "fast":
			return l.fast(ctx, q.Count, q.Slaves)
		case "sync":
			return l.synchronous(ctx, q.Putters, q.For)
		default:
			return l.paced(ctx, q.Rate, q.For)
		}
	case "acked":
		for _, s := range q.Slaves {
			if err := r.c.Acked(ctx, instanceID(s), q.N); err != nil {
				return a, fmt.Errorf("acked by %s: %w", s, err)
			}
		}
		return a, nil
	case "reach": // until this instance holds N
		start := time.Now()
		for r.c.Pos().N < q.N || r.c.Status().Following.Snapshot {
			if ctx.Err() != nil {
				return a, fmt.Errorf("at %d of %d: %w", r.c.Pos().N, q.N, ctx.Err())
			}
			time.Sleep(time.Millisecond)
		}
		return answer{N: r.c.Pos().N, Took: time.Since(start)}, nil
	case "watch":
		if r.lag != nil {
			return a, errors.New("watches already")
		}
		r.lag = startLag(r.c)
		return a, nil
	case "unwatch":
		l := r.lag
		r.lag = nil
		return l.stop()
	case "status":
		return r.status(), nil
	case "gc": // twice: what a finalizer held is gone the second time
		runtime.GC()
		debug.FreeOSMemory()
		return r.status(), nil
	case "digest":
		return r.digest()
	case "profile":
		return a, r.setProfile(q.File)
	}
	return a, errors.New("unknown operation")
}

// status is what this process is and has used.
func (r *role) status() answer {
	s := r.c.Status()
	a := answer{N: s.Pos.N, Ring: s.RingBytes, Followers: len(s.Followers), Members: s.Members, Snapshot: s.Following.Snapshot,
		Snapshots: s.Counters.Snapshots, Cuts: s.Counters.Cuts}
	for _, f := range s.Followers {
		if f.InStep {
			a.InStep++
		}
	}
	for _, c := range s.Caches {
		a.Entries += c.Entries
	}
	m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(m)
	a.Live, a.Heap = int64(m[0].Value.Uint64()), int64(m[1].Value.Uint64())
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) == nil {
		a.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, f := range threads {
		b, _ := os.ReadFile(f) // empty for a thread that has ended
		if w := strings.Fields(string(b)); len(w) > 1 {
			n, _ := strconv.ParseInt(w[1], 10, 64)
			a.Waited += time.Duration(n)
		}
	}
	return a
}

// digest is one hash of every entry of every cache.
func (r *role) digest() (answer, error) {
	h := sha256.New()
	a := answer{N: r.c.Pos().N}
	for _, name := range r.c.Names() {
		n, err := r.c.Named(name)
		if err != nil {
			return a, err
		}
		// In one page: each costs a walk over all entries.
		for _, e := range n.List("", math.MaxInt32, func(*cache.Entry) bool { return true }) {
			h.Write(binary.BigEndian.AppendUint64(nil, e.N))
			h.Write([]byte(e.Key))
			h.Write(e.Value)
			a.Entries++
		}
	}
	a.Digest = hex.EncodeToString(h.Sum(nil)[:8])
	return a, nil
}

// setProfile begins a CPU profile into the file, or ends it if there is no name.
func (r *role) setProfile(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.profile != nil {
		pprof.StopCPUProfile()
		err := r.profile.Close()
		r.profile = nil
		if err != nil || name == "" {
			return err
		}
	}
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	r.profile = f
	return pprof.StartCPUProfile(f)
}
