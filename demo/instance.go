package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// keptLines is how much of an instance's log is kept to be shown on failure.
const keptLines = 15

// instance is one of the three, as a process that can be started more than once.
type instance struct {
	*board
	name      string
	binary    string
	args      []string // behind the binary
	client    *admin.Client
	onView    func(*instance, admin.Event)     // told each event, under the board's lock
	onEnd     func(*instance)                  // told that the process ended by itself, likewise
	onLog     func(*instance, string)          // told each line of the log
	onFound   func(*instance, []finding)       // told what it found in flight as a new master, likewise
	onSettled func(*instance, shop.Settlement) // told what became of each, likewise
	wg        sync.WaitGroup                   // of all goroutines of all starts

	// All below is guarded by the board.
	cmd    *exec.Cmd
	stdin  io.Closer
	orders io.Writer
	gone   chan struct{}  // closed when the process has been waited for
	up     bool           // the process lives, and was not told to end
	frozen bool           // by the demo; it stays so until the instance has noticed
	view   admin.Event    // its newest word about itself
	drops  string         // whose packets it drops, as it acknowledged
	reigns map[string]int // packets heard from each sender that claims to reign
	log    []string
}

// start starts the process. It is over when wait returns.
func (i *instance) start(environ []string) error {
	cmd := exec.Command(i.binary, i.args...)
	cmd.Args[0] = "interlok-ha"
	cmd.Env = environ
	cmd.SysProcAttr = childAttr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	// Not cmd's own pipes: the log's other end outlives the process, since its
	// keeper holds it too.
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	logR, logW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, outR.Close(), outW.Close())
	}
	cmd.Stdout, cmd.Stderr = outW, logW
	err = cmd.Start()
	_, _ = outW.Close(), logW.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("start instance %s: %w", i.name, err), outR.Close(), logR.Close())
	}
	gone := make(chan struct{})
	i.change(func() {
		i.cmd, i.stdin, i.orders, i.gone = cmd, stdin, stdin, gone
		i.up, i.frozen, i.view, i.drops = true, false, admin.Event{}, ""
		i.reigns = map[string]int{}
	})
	life, end := context.WithCancel(context.Background())
	i.wg.Go(func() { i.readLog(logR) })
	i.wg.Go(func() { i.readAnswers(life, outR) })
	i.wg.Go(func() {
		_ = cmd.Wait() // how it ended is nobody's question
		end()
		close(gone)
		i.change(func() {
			if i.cmd == cmd && i.up {
				i.up, i.view = false, admin.Event{}
				i.onEnd(i)
			}
		})
	})
	return nil
}

func (i *instance) readLog(r io.ReadCloser) {
	defer r.Close()
	for in := bufio.NewScanner(r); in.Scan(); {
		i.onLog(i, in.Text())
		i.change(func() {
			if i.log = append(i.log, in.Text()); len(i.log) > keptLines {
				i.log = slices.Delete(i.log, 0, 1)
			}
		})
	}
}

// readAnswers takes in what the process says on its stdout.
func (i *instance) readAnswers(life context.Context, r io.ReadCloser) {
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "ready":
			i.wg.Go(func() { i.follow(life) })
		case "dropping":
			i.change(func() { i.drops = rest })
		case "found":
			var list []finding
			if json.Unmarshal([]byte(rest), &list) == nil {
				i.change(func() { i.onFound(i, list) })
			}
		case "settled":
			var s shop.Settlement
			if json.Unmarshal([]byte(rest), &s) == nil {
				i.change(func() { i.onSettled(i, s) })
			}
		case "reigns":
			i.change(func() { i.reigns[rest]++ })
		}
	}
}

// follow keeps view new, from the stream of the API.
func (i *instance) follow(life context.Context) {
	for e, err := range i.client.Events(life) {
		if err != nil {
			return // the end of the process tells more
		}
		i.change(func() {
			if i.up {
				i.view = e
				i.onView(i, e)
			}
		})
	}
}

// signal sends one signal to the process.
func (i *instance) signal(send func(*os.Process) error) error {
	i.mu.Lock()
	cmd := i.cmd
	i.mu.Unlock()
	if err := send(cmd.Process); err != nil {
		return fmt.Errorf("signal instance %s: %w", i.name, err)
	}
	return nil
}

// kill ends the process with SIGKILL and returns when it is gone.
func (i *instance) kill() {
	i.mu.Lock()
	cmd, gone := i.cmd, i.gone
	i.mu.Unlock()
	if cmd == nil {
		return
	}
	i.change(func() { i.up, i.view = false, admin.Event{} })
	select {
	case <-gone: // its number may be another's by now
	default:
		killGroup(cmd.Process.Pid)
		<-gone
	}
}

// leave has the process say goodbye; gone is closed when it is gone.
func (i *instance) leave() (gone <-chan struct{}) {
	i.change(func() { i.up = false })
	_ = i.signal(func(p *os.Process) error { return p.Signal(syscall.SIGTERM) }) // an error: it is gone
	return i.gone
}

// drop orders the process to drop the packets of those names from now on.
func (i *instance) drop(names ...string) error {
	if _, err := fmt.Fprintln(i.orders, "drop "+strings.Join(names, ",")); err != nil {
		return fmt.Errorf("order instance %s: %w", i.name, err)
	}
	return nil
}

// wait returns when nothing of any start is left.
func (i *instance) wait() { i.wg.Wait() }

// settings are those of an instance of the demo.
func settings(dir, name, cluster, group string, port int) []string {
	return []string{
		"failover.name=" + name,
		"failover.cluster=" + cluster,
		"failover.interface=lo",
		"failover.group=" + group,
		fmt.Sprintf("failover.port=%d", port),
		fmt.Sprintf("failover.delay=%dms", delay.Milliseconds()),
		fmt.Sprintf("failover.retries=%d", retries),
		"failover.key.file=" + filepath.Join(dir, "key"),
		"failover.state.dir=" + filepath.Join(dir, name),
		"failover.profiler.payload=true",
	}
}
