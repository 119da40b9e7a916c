package workload

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	// patience is how long a keeper may take to do what it was told before
	// the node does it itself.
	patience = 200 * time.Millisecond
	verb     = "keeper"
)

// Process is one run of COMMAND under its keeper. Its methods may be called
// from any goroutine, at any time, and do not block.
type Process struct {
	cfg     Config
	reign   Reign
	cmd     *exec.Cmd // the keeper
	run     string    // the value of runVariable
	born    uint64    // the keeper's start, in clock ticks: no descendant is older
	reports *os.File

	started  chan struct{}
	done     chan struct{}
	pid      atomic.Int64
	lastEcho atomic.Int64
	waiting  atomic.Bool // for Begin
	result   Result      // written before done is closed

	mu     sync.Mutex  // guards what follows
	frames int         // the pipe to the keeper; -1 once closed
	seq    uint64      // of the last frame
	force  *time.Timer // kills the keeper, if it does not do as told
	forced time.Time   // when force fires
	asked  Cause       // what Stop or Kill wanted, for a keeper that must be killed
}

// Start starts a keeper, which starts COMMAND, and lets it work until the
// given time of CLOCK_BOOTTIME (see internal/boottime). It returns as soon as
// the keeper runs; what can be checked before (no such program, a directory,
// not executable) is an error at once, what shows later is the Err of the
// [Result]. Every Process that is returned reaches Done by itself.
func Start(cfg Config, reign Reign, until time.Duration) (*Process, error) {
	path, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	p := newProcess(cfg, reign)
	if err := p.launch(path, func() { p.Feed(reign.Epoch, until) }); err != nil {
		return nil, err
	}
	return p, nil
}

// Prepare starts a keeper that waits for [Process.Begin] before it starts
// COMMAND, so that then nothing else is left to do. Kill ends one that is not
// needed. The errors are those of Start.
func Prepare(cfg Config, reign Reign) (*Process, error) {
	path, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	p := newProcess(cfg, reign)
	p.waiting.Store(true)
	if err := p.launch(path, func() {}); err != nil {
		return nil, err
	}
	return p, nil
}

// Begin starts COMMAND under a keeper that was prepared for this epoch, and lets
// it work until the given time of CLOCK_BOOTTIME. It reports whether the keeper
// was told so; if not, start another.
func (p *Process) Begin(epoch uint64, until time.Duration) bool {
	p.lastEcho.Store(int64(boottime.Now()))
	if epoch != p.reign.Epoch {
		return false
	}
	p.waiting.Store(false)
	return p.Feed(epoch, until)
}

// StartBare starts a keeper without a COMMAND, for a node that only holds the
// role: it waits for the node's death, to tell of it. The Config needs an
// Obituary and no Command. The keeper is not fed and never expires; Started
// says that it is there, and Pid stays 0.
func StartBare(cfg Config, reign Reign) (*Process, error) {
	if cfg.Obituary == nil {
		return nil, errors.New("start keeper: it has neither a command nor an obituary")
	}
	cfg.Command = nil
	p := newProcess(cfg, reign)
	if err := p.launch("", func() {}); err != nil {
		return nil, err
	}
	return p, nil
}

func newProcess(cfg Config, reign Reign) *Process {
	var mark [8]byte
	_, _ = rand.Read(mark[:]) // never fails
	return &Process{
		cfg: cfg, reign: reign, run: hex.EncodeToString(mark[:]),
		started: make(chan struct{}), done: make(chan struct{}),
	}
}

// bare reports whether there is a keeper and nothing to keep.
func (p *Process) bare() bool { return p.cfg.Command == nil }

// launch starts the keeper for the program at path. First is called when the
// pipe is there and the keeper is not.
func (p *Process) launch(path string, first func()) error {
	if len(os.Args) > 1 && os.Args[1] == verb {
		return errors.New("start keeper: this process was to be one: its main must call KeeperMain")
	}
	last, err := p.testament()
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	defer closeAll(last)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("start keeper: %w", os.NewSyscallError("pipe2", err))
	}
	p.frames = pipe[1]
	framesRead := os.NewFile(uintptr(pipe[0]), "frames")
	reportsRead, reportsWrite, err := os.Pipe()
	if err != nil {
		_ = framesRead.Close()
		_ = unix.Close(p.frames)
		return fmt.Errorf("start keeper: %w", err)
	}
	p.reports = reportsRead
	_ = unix.SetNonblock(p.frames, true) // a valid descriptor: cannot fail

	files := []*os.File{framesRead, reportsWrite}
	if len(last) > 0 {
		files = append(files, p.cfg.Obituary.Listener)
		files = append(files, last...)
	}
	p.cmd = p.keeper(path, files)
	first()
	p.lastEcho.Store(int64(boottime.Now()))
	kin.Lock()
	err = p.cmd.Start()
	if err == nil {
		kin.keepers[p.cmd.Process.Pid] = struct{}{}
	}
	kin.Unlock()
	_ = framesRead.Close()
	_ = reportsWrite.Close()
	if err != nil {
		_ = reportsRead.Close()
		_ = unix.Close(p.frames)
		return fmt.Errorf("start keeper: %w", err)
	}
	var table procTable
	if line, ok := table.read(p.cmd.Process.Pid); ok {
		p.born = line.start
	}
	go p.watch()
	return nil
}

// keeper returns the command that starts the keeper. It has a session of its
// own: a terminal's interrupt is the node's to hear, and since no process can
// enter an existing session, whoever descends from the keeper is never in the
// node's (see sweep).
func (p *Process) keeper(path string, files []*os.File) *exec.Cmd {
	executable := p.cfg.Executable
	if executable == "" {
		executable = "/proc/self/exe"
	}
	o := order{
		instance: [8]byte(p.reign.ID[:8]), held: len(p.cfg.HoldFiles),
		privileges: p.cfg.NewPrivileges, path: path, argv: p.cfg.Command,
	}
	if len(files) > 2 {
		o.linger = p.cfg.Obituary.Linger
	}
	cmd := &exec.Cmd{
		Path:        executable,
		Args:        append([]string{"interlok-ha", verb}, o.words()...),
		Env:         p.reign.environ(p.cfg.Env, p.run),
		Dir:         p.cfg.Dir,
		ExtraFiles:  append(files, p.cfg.HoldFiles...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if p.bare() {
		cmd.Env = append(cmd.Env, bareMark+"=1")
	}
	// A nil *os.File in an interface is not nil.
	if p.cfg.Stdin != nil {
		cmd.Stdin = p.cfg.Stdin
	}
	if p.cfg.Stdout != nil {
		cmd.Stdout = p.cfg.Stdout
	}
	if p.cfg.Stderr != nil {
		cmd.Stderr = p.cfg.Stderr
	}
	return cmd
}

// Feed lets COMMAND work until the given time of CLOCK_BOOTTIME, under the
// epoch: a smaller one than was fed before counts for nothing, a greater one
// replaces what was allowed. It reports whether the keeper's pipe took it; if
// not, nothing was renewed.
func (p *Process) Feed(epoch uint64, until time.Duration) bool {
	return !p.bare() && p.send(kindFeed, epoch, until)
}

// Stop asks COMMAND and its descendants to end (SIGTERM) and kills, after
// grace, what has not. COMMAND must still be fed meanwhile. It returns at
// once; of several calls the earliest end counts.
func (p *Process) Stop(grace time.Duration) {
	grace = max(grace, 0)
	p.ask(CauseStopped, grace+patience)
	p.send(kindStop, 1<<64-1, boottime.Now()+grace)
}

// Kill kills COMMAND and its descendants. It returns at once. A keeper that
// does not answer (frozen, say) is killed too, and the node kills the tree.
func (p *Process) Kill() {
	wait := patience
	if !p.send(kindKill, 1<<64-1, 0) {
		wait = 0
	}
	p.ask(CauseKilled, wait)
}

// Started is closed once COMMAND's own process runs. If it never does, only
// Done is.
func (p *Process) Started() <-chan struct{} { return p.started }

// Pid is the process id of COMMAND's own process, 0 before Started.
func (p *Process) Pid() int { return int(p.pid.Load()) }

// Done is closed once COMMAND and all its descendants are dead and the keeper
// has ended, with the files it held.
func (p *Process) Done() <-chan struct{} { return p.done }

// Result says how the run ended. It is valid once Done is closed.
func (p *Process) Result() Result {
	select {
	case <-p.done:
		return p.result
	default:
		return Result{Code: -1}
	}
}

// LastEcho is when the keeper was last heard to take a feed, on
// CLOCK_BOOTTIME; before the first time, when it was started. A node that
// hears none for half a lease must not renew its own guard: it calls Kill and
// hands over.
func (p *Process) LastEcho() time.Duration { return time.Duration(p.lastEcho.Load()) }

// send writes one frame, if there is room for it.
func (p *Process) send(k kind, epoch uint64, at time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frames < 0 {
		return false
	}
	p.seq++
	var b [frameSize]byte
	frame{
		instance: [8]byte(p.reign.ID[:8]), epoch: epoch, kind: k, seq: p.seq, value: uint64(max(at, 0)),
	}.put(&b)
	for {
		n, err := unix.Write(p.frames, b[:])
		if err != unix.EINTR {
			return err == nil && n == frameSize
		}
	}
}

// ask remembers what was wanted and sees to it that it happens within d.
func (p *Process) ask(cause Cause, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frames < 0 {
		return
	}
	p.asked = max(p.asked, cause)
	switch at := time.Now().Add(d); {
	case p.force == nil:
		p.forced = at
		p.force = time.AfterFunc(d, func() { _ = p.cmd.Process.Kill() }) // watch does the rest
	case at.Before(p.forced):
		p.forced = at
		p.force.Reset(d)
	}
}

// watch reads what the keeper reports, until it has ended and the tree is
// dead. It is the one goroutine of a Process.
func (p *Process) watch() {
	log := p.cfg.Log.With().Int("keeper", p.cmd.Process.Pid).Logger()
	ended := p.listen()
	_ = p.reports.Close()
	_ = p.cmd.Wait() // its status says nothing that the reports did not
	kin.Lock()
	delete(kin.keepers, p.cmd.Process.Pid)
	kin.Unlock()
	if !ended {
		p.result = p.lost()
		switch {
		case p.waiting.Load(): // nothing was started
		case p.result.Cause == CauseKeeperLost:
			log.Warn().Str("state", p.cmd.ProcessState.String()).Msg("Keeper died before its time: killing what it left")
		default:
			log.Warn().Msg("Keeper did not answer: killed, with what it left")
		}
		if !p.bare() { // a bare one leaves nothing
			newSweeper(p.run, p.born).sweep(func(left int) {
				log.Error().Int("processes", left).Msg("Descendants of the command cannot be killed")
			})
		}
	}
	p.mu.Lock()
	_ = unix.Close(p.frames)
	p.frames = -1
	if p.force != nil {
		p.force.Stop()
	}
	p.mu.Unlock()
	if p.bare() || p.waiting.Load() {
		log.Debug().Stringer("result", p.result).Msg("Keeper ended")
	} else {
		log.Info().Stringer("result", p.result).Msg("Command ended")
	}
	close(p.done)
}

// listen takes reports until the keeper says that the tree is dead, which it
// reports, or says nothing more.
func (p *Process) listen() bool {
	var startErr error
	var b [64 * frameSize]byte
	for filled := 0; ; {
		n, err := p.reports.Read(b[filled:])
		if err != nil {
			return false
		}
		filled += n
		rest := b[:filled]
		for len(rest) >= frameSize {
			f, _ := parseFrame(rest)
			rest = rest[frameSize:]
			switch f.kind {
			case kindFeed:
				p.lastEcho.Store(int64(boottime.Now()))
			case kindStarted:
				p.pid.Store(int64(f.value))
				close(p.started)
				if p.bare() {
					p.cfg.Log.Debug().Int("keeper", p.cmd.Process.Pid).Msg("Keeper started")
					continue
				}
				p.cfg.Log.Info().Int64("pid", p.pid.Load()).Strs("command", p.cfg.Command).Msg("Command started")
			case kindFailed:
				startErr = describe(p.cfg.Command[0], syscall.Errno(f.value))
			case kindEnded:
				p.result = outcome(f.value, startErr)
				return true
			}
		}
		filled = copy(b[:], rest)
	}
}

// outcome reads the value of an ended frame.
func outcome(value uint64, startErr error) Result {
	if startErr != nil {
		return FailedStart(startErr)
	}
	r := Result{Cause: Cause(value >> 32), Code: -1}
	if value&noStatus == noStatus {
		return r
	}
	switch status := unix.WaitStatus(value & noStatus); {
	case status.Exited():
		r.Code = status.ExitStatus()
	case status.Signaled():
		r.Signal = int(status.Signal())
		r.Code = 128 + r.Signal
	}
	return r
}

// lost is the result of a keeper that ended without a word: its COMMAND died
// by SIGKILL.
func (p *Process) lost() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Result{Cause: CauseKeeperLost, Code: -1}
	if p.asked != 0 {
		r.Cause = p.asked
	}
	if p.pid.Load() != 0 {
		r.Signal = int(unix.SIGKILL)
		r.Code = 128 + r.Signal
	}
	return r
}
