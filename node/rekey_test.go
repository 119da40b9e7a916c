package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/broadcast"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/listen"
)

const (
	oldKey   = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey   = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	thirdKey = "AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// air carries packets to everybody else, before the sender goes on.
type air struct {
	mu    sync.Mutex // guards hears
	hears []func([]byte, netip.AddrPort, bool)
}

// airPort is one instance's place in the air.
type airPort struct {
	air *air
	at  int
	on  chan struct{}
}

func (a *air) join() *airPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hears = append(a.hears, nil)
	return &airPort{a, len(a.hears) - 1, make(chan struct{})}
}

func (p *airPort) Run(ctx context.Context, fn func([]byte, netip.AddrPort, bool)) error {
	p.air.mu.Lock()
	p.air.hears[p.at] = fn
	p.air.mu.Unlock()
	close(p.on)
	<-ctx.Done()
	return nil
}

func (p *airPort) Multicast(b []byte) error {
	p.air.mu.Lock()
	hears := append([]func([]byte, netip.AddrPort, bool){}, p.air.hears...)
	p.air.mu.Unlock()
	for i, fn := range hears {
		if i != p.at && fn != nil {
			fn(bytes.Clone(b), netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(p.at)}), 2710), true)
		}
	}
	return nil
}

func (p *airPort) Unicast([]byte, netip.AddrPort) error { return nil }

// talker is the part of a node that talks.
type talker struct {
	*Node
	file string
	log  *bytes.Buffer
	seq  uint64
}

func newTalker(t *testing.T, a *air, id byte, keys string) *talker {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	k := &talker{file: file, log: &bytes.Buffer{}}
	k.write(t, keys, 0o600)
	s, err := config.Load(config.Source{Environ: []string{"HOME=/"}, Hostname: "box", Sets: []string{"failover.key.file=" + file}})
	if err != nil {
		t.Fatal(err)
	}
	k.Node = &Node{s: s, id: heartbeat.InstanceID{id}, o: Options{Log: zerolog.New(k.log)}, missed: map[string]bool{}, cacheNames: map[cache.InstanceID]string{}}
	k.feed = newFeed("box", time.Now())
	if err := k.openCache(netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.cache.Close() })
	in, err := k.newCodec(s.Keys)
	if err != nil {
		t.Fatal(err)
	}
	out, err := k.newCodec(s.Keys)
	if err != nil {
		t.Fatal(err)
	}
	p := a.join()
	if k.listen, err = listen.New(listen.Config{Conn: p, Codec: in, Self: k.id}); err != nil {
		t.Fatal(err)
	}
	if k.broadcast, err = broadcast.New(broadcast.Config{Conn: p, Codec: out}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.listen.Run(ctx) }()
	<-p.on
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *talker) write(t *testing.T, text string, mode os.FileMode) {
	t.Helper()
	// As an operator should: never half a file.
	tmp := k.file + ".new"
	if err := os.WriteFile(tmp, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, k.file); err != nil {
		t.Fatal(err)
	}
}

func (k *talker) say(t *testing.T) {
	t.Helper()
	k.seq++
	err := k.broadcast.Send(&heartbeat.Packet{
		Kind: heartbeat.KindHeartbeat, State: heartbeat.StateSlave, Instance: k.id, Seq: k.seq,
		Delay: time.Second, Retries: 5, Votes: 1, Name: fmt.Sprintf("node-%x", k.id[0]),
	})
	if err != nil {
		t.Error(err)
	}
}

// heard takes what has come: how many packets, and why others were dropped.
func (k *talker) heard() (n int, dropped string) {
	for {
		select {
		case <-k.listen.Packets():
			n++
			continue
		default:
		}
		break
	}
	for _, c := range k.listen.Stats() {
		if c.N > 0 {
			dropped += fmt.Sprintf("%s=%d ", c.Cause, c.N)
		}
	}
	return n, strings.TrimSpace(dropped)
}

// TestRotation changes the key of three instances in three sweeps, one instance
// after the other. Everybody speaks after each step, and everybody is heard.
func TestRotation(t *testing.T) {
	a := &air{}
	var all []*talker
	for id := range byte(3) {
		all = append(all, newTalker(t, a, id+1, oldKey))
	}
	speak := func(when string) {
		t.Helper()
		for _, k := range all {
			k.say(t)
		}
		for _, k := range all {
			if n, dropped := k.heard(); n != len(all)-1 || dropped != "" {
				t.Fatalf("%s: instance %d hears %d packets, dropped %q", when, k.id[0], n, dropped)
			}
		}
	}
	speak("before")
	for _, sweep := range []struct{ name, keys, signs string }{
		{"accept both", oldKey + "\n" + newKey, ""},
		{"sign with the new", newKey + "\n" + oldKey, ""},
		{"drop the old", newKey, ""},
	} {
		for _, k := range all {
			k.write(t, sweep.keys, 0o600)
			if err := k.reloadKeys(); err != nil {
				t.Fatal(err)
			}
			speak(sweep.name)
			if !strings.Contains(k.log.String(), "Reloaded the keys") || strings.Contains(k.log.String(), oldKey[:8]) {
				t.Errorf("log: %s", k.log)
			}
			k.log.Reset()
		}
	}

	// So do their caches: one that never knew another key is let in.
	runs := func(c *cache.Cache) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	secret, err := base64.StdEncoding.DecodeString(newKey)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := cache.Open(cache.Config{
		Cluster: all[0].s.Cluster, Name: "fresh", Instance: cache.InstanceID{8}, Bind: netip.MustParseAddrPort("127.0.0.1:0"), Keys: [][32]byte{[32]byte(secret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	reign := cache.Reign{Epoch: 1, Instance: cache.InstanceID(all[0].id)}
	runs(all[0].cache)
	runs(fresh)
	if err := all[0].cache.Promote(reign); err != nil {
		t.Fatal(err)
	}
	fresh.Follow(reign, all[0].cache.Addr())
	for end := time.Now().Add(patience); fresh.Pos().N == 0 || fresh.Pos() != all[0].cache.Pos(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cache of one with the new key alone does not get in")
		}
	}

	// One that slept through it is not heard any more, and hears nobody.
	late := newTalker(t, a, 9, oldKey)
	late.say(t)
	all[0].say(t)
	for _, k := range all {
		if _, dropped := k.heard(); dropped != "key=1" {
			t.Errorf("instance %d dropped %q of one with the old key", k.id[0], dropped)
		}
	}
	if n, dropped := late.heard(); n != 0 || dropped != "key=1" {
		t.Errorf("the late one hears %d, dropped %q", n, dropped)
	}
	// Nor is a change of keys a way for replays.
	late.write(t, newKey, 0o600)
	if err := late.reloadKeys(); err != nil {
		t.Fatal(err)
	}
	all[0].seq--
	all[0].say(t)
	if _, dropped := all[1].heard(); dropped != "key=1 duplicate=1" {
		t.Errorf("after a repeated packet: %q", dropped)
	}
}

// TestReloadOfABadFile: the old keys stay, and the error names the file and what
// to do.
func TestReloadOfABadFile(t *testing.T) {
	a := &air{}
	x, y := newTalker(t, a, 1, oldKey), newTalker(t, a, 2, oldKey)
	for _, tt := range []struct {
		name string
		text string
		mode os.FileMode
		want string
	}{
		{"empty", "", 0o600, "interlok-ha keygen"},
		{"garbage", "\x00\x01\x02", 0o600, "not base64"},
		{"half a key", newKey[:20], 0o600, "32"},
		{"one good, one bad", newKey + "\nrubbish", 0o600, "key 2"},
		{"read by others", newKey, 0o644, "chmod 600"},
	} {
		x.write(t, tt.text, tt.mode)
		if err := x.reloadKeys(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), x.file) {
			t.Errorf("%s: %v, want %q and the file", tt.name, err, tt.want)
		}
		x.say(t)
		y.say(t)
		for _, k := range []*talker{x, y} {
			if n, dropped := k.heard(); n != 1 || dropped != "" {
				t.Errorf("%s: instance %d hears %d, dropped %q", tt.name, k.id[0], n, dropped)
			}
		}
	}
	if err := os.Remove(x.file); err != nil {
		t.Fatal(err)
	}
	if err := x.reloadKeys(); err == nil || !strings.Contains(err.Error(), x.file) {
		t.Errorf("missing: %v", err)
	}
	if x.log.Len() != 0 {
		t.Errorf("logged and returned: %s", x.log)
	}
}

// A failure to reload is logged, and is not the last that is tried.
func TestReloading(t *testing.T) {
	x := newTalker(t, &air{}, 1, oldKey)
	x.write(t, "rubbish", 0o600)
	hangup := make(chan os.Signal)
	x.o.Reload = hangup
	ended := make(chan error)
	go func() { ended <- x.reloading(t.Context()) }()
	hangup <- syscall.SIGHUP
	hangup <- syscall.SIGHUP // the first is done with
	close(hangup)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(x.log.String(), "the old ones stay"); n != 2 || x.reloads.failed.Load() != 2 {
		t.Errorf("two failures, told %d times, counted %d: %s", n, x.reloads.failed.Load(), x.log)
	}
}

// TestReloadWhileTalking is for the race detector: keys change while packets
// come and go.
func TestReloadWhileTalking(t *testing.T) {
	a := &air{}
	x, y := newTalker(t, a, 1, oldKey), newTalker(t, a, 2, oldKey)
	var wg sync.WaitGroup
	for _, k := range []*talker{x, y} {
		wg.Go(func() {
			for range 200 {
				k.say(t)
			}
		})
		wg.Go(func() {
			for i := range 50 {
				k.write(t, []string{oldKey + "\n" + newKey, newKey + "\n" + oldKey}[i%2], 0o600)
				if err := k.reloadKeys(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, k := range []*talker{x, y} {
		k.heard()
		k.write(t, thirdKey, 0o600)
		if err := k.reloadKeys(); err != nil {
			t.Error(err)
		}
		k.say(t)
	}
	if n, _ := x.heard(); n != 1 {
		t.Errorf("heard %d under the third key, want 1", n)
	}
}
