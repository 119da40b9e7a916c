package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	// A lease of one second: short enough to watch, and longer than a busy
	// machine keeps a process waiting.
	delay   = 200 * time.Millisecond // between two heartbeats
	retries = 5
	pace    = 20 * time.Millisecond // between two messages of the source
	latency = 15 * time.Millisecond // that the sink takes to answer
	calm    = 50                    // messages that must flow after each act
	limit   = 10 * time.Second      // for anything to happen that should
	tries   = 5                     // of a hand-over
)

var names = []string{"a", "b", "c"}

// ErrInterrupted ends a demo whose context ended.
var ErrInterrupted = errors.New("interrupted; all that was started has been ended")

// ErrFailed ends a demo in which not all went as it should; the report says what.
var ErrFailed = errors.New("not all went as it should")

// Config is what a demo is made of.
type Config struct {
	Out     io.Writer // gets the story, a line per event
	Colour  bool      // of the story
	Verbose bool      // the story has the instances' logs in it
	Keep    bool      // the temporary folder stays
	// Environ is the environment of what is started.
	Environ []string
	// Binary is the file whose first arguments demo-node and keeper lead to
	// NodeMain and workload.KeeperMain.
	Binary string
}

// Run plays the demo and returns what it came to. The error is ErrFailed,
// ErrInterrupted, or says why there was no demo. When Run returns, all that it
// started has ended.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tell := newTeller(cfg.Out, cfg.Colour, func(err error) { cancel(fmt.Errorf("tell the story: %w", err)) })
	defer tell.close()
	dir, err := makeDir()
	if err != nil {
		return nil, err
	}
	defer func() {
		if cfg.Keep {
			tell.say(plain, "kept: "+dir)
		} else if err := os.RemoveAll(dir); err != nil {
			tell.say(bad, err.Error())
		}
	}()
	p, err := newPlay(cfg, tell, dir)
	if err != nil {
		return nil, err
	}
	closing, closeWorld := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.world.run(closing, pace, latency) })
	defer wg.Wait()
	defer closeWorld()
	defer p.end()

	err = p.acts(ctx)
	switch {
	case tell.failed():
		return nil, context.Cause(ctx)
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	case err != nil:
		p.fault(err.Error())
	}
	p.finish(ctx)
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	r := p.report()
	if len(r.Wrong) > 0 {
		p.tellLogs()
		return r, ErrFailed
	}
	return r, nil
}

// play is a running demo.
type play struct {
	*board
	cfg   Config
	tell  *teller
	start time.Duration // CLOCK_BOOTTIME
	world *world
	cast  map[string]*instance

	scenes []*scene // only the acts' goroutine uses them

	// Guarded by the board.
	blow   blow     // what was done to the master last
	reigns int      // promotions
	stalls int      // how often an instance stood still that the demo had not frozen
	crown  struct { // the last of them
		name  string
		epoch uint64
		at    time.Duration
	}
	handOvers []*handOver
	torn      bool     // the master is cut off: two may work for a moment
	fatal     error    // an instance ended by itself
	wrong     []string // what did not go as it should
}

// blow is something done to the master.
type blow struct {
	at   time.Duration
	name string // "the kill"
}

func newPlay(cfg Config, tell *teller, dir string) (*play, error) {
	b := newBoard()
	w, err := newWorld(b, filepath.Join(dir, "world.sock"))
	if err != nil {
		return nil, err
	}
	p := &play{board: b, cfg: cfg, tell: tell, start: boottime.Now(), world: w, cast: map[string]*instance{}}
	w.begun, w.ended = p.workBegun, p.workEnded
	secret, err := config.Keygen(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(secret+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the key: %w", err)
	}
	// Through the folder, so that argv[0] and ps say interlok-ha; through /proc,
	// so that a build of a newer binary changes nothing.
	binary := filepath.Join(dir, "interlok-ha")
	if err := os.Symlink(cfg.Binary, binary); err != nil {
		return nil, fmt.Errorf("link the binary: %w", err)
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	cluster := "demo-" + hex.EncodeToString(random[:4])
	group := fmt.Sprintf("239.255.%d.%d", random[4], random[5])
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		socket := filepath.Join(dir, name+".sock")
		p.cast[name] = &instance{
			board: b, name: name, binary: binary, client: admin.NewClient(socket),
			args:   append([]string{"demo-node", socket, w.path}, settings(dir, name, cluster, group, port)...),
			onView: p.viewed, onEnd: p.endedByItself, onLog: p.logged, onFound: p.found, onSettled: p.settled,
		}
	}
	p.prologue(group, port)
	return p, nil
}

// makeDir makes the folder of all sockets and states. A socket's path has little
// room, so it must be short.
func makeDir() (string, error) {
	const pattern = "ha-demo-"
	dir, err := os.MkdirTemp("", pattern)
	if err == nil && admin.CheckSocketPath(filepath.Join(dir, "world.sock")) != nil {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", pattern)
	}
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, nil
}

// freePort is a UDP port that nobody uses now.
func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// await is the board's, but for an instance that ended by itself.
func (p *play) await(ctx context.Context, what string, ok func() bool) error {
	err := p.board.await(ctx, limit, what, func() bool { return p.fatal != nil || ok() })
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.fatal, err)
}

func (p *play) fault(text string) {
	p.change(func() { p.wrong = append(p.wrong, text) })
}

// finish ends the source, waits until all is taken, and has everybody leave.
func (p *play) finish(ctx context.Context) {
	p.tell.say(title, "\n"+rule("The end: the last messages, and all leave"))
	p.world.source.Close()
	made, _ := p.world.source.Count()
	// What is still missing then, the report counts as lost.
	_ = p.board.await(ctx, limit, "the last message", func() bool {
		return p.world.sink.UpTo() >= made || !slices.ContainsFunc(names, func(name string) bool { return p.cast[name].up })
	})
	p.mu.Lock()
	master := p.crown.name
	p.mu.Unlock()
	for _, slaves := range []bool{true, false} { // so that nothing is handed over
		for _, name := range names {
			i := p.cast[name]
			if i.cmd == nil || (name != master) != slaves {
				continue
			}
			select {
			case <-i.leave():
			case <-ctx.Done():
				return
			case <-time.After(limit):
				p.fault(name + " did not leave when told to")
			}
		}
	}
}

// end kills what is left and returns when nothing is.
func (p *play) end() {
	p.world.source.Close()
	for _, i := range p.cast {
		i.kill()
	}
	if err := p.board.await(context.Background(), limit, "the end of the last order processor", func() bool { return p.world.current() == nil }); err != nil {
		p.tell.say(bad, err.Error())
		return
	}
	for _, i := range p.cast {
		i.wait()
	}
}

// tellLogs shows the last lines of each instance's log.
func (p *play) tellLogs() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		p.tell.say(title, "\nThe last lines of the log of "+name+":")
		p.tell.say(plain, strings.Join(p.cast[name].log, "\n"))
	}
}
