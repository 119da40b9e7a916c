package workload

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// What the keeper inherits, beside the three standard files of COMMAND.
const (
	fdFrames  = 3 // from the node
	fdReports = 4 // to the node

	// With an obituary.
	fdListener  = 5 // the node's
	fdNode      = 6 // pidfd of the node
	fdTestament = 7 // pipe with the instance and its secret

	// Config.HoldFiles follow.
)

// keeper is the state of a keeper process. Its one thread owns it.
type keeper struct {
	lease
	order   order
	environ []string

	pid    int             // of COMMAND's own process; 0 before its start
	reaped bool            // pid was waited for: its number may belong to another by now
	status unix.WaitStatus // valid once reaped
	stopAt time.Duration   // end of the grace, CLOCK_BOOTTIME; 0 = not told to stop
	cause  Cause           // why the end has come; 0 = it has not
	errno  syscall.Errno   // of a start that failed

	herald *herald // nil without an obituary

	timer  int            // timerfd on CLOCK_BOOTTIME
	poll   [4]unix.PollFd // frames, timer, COMMAND's own process, the node's
	buf    [128 * frameSize]byte
	filled int
	out    [frameSize]byte
	table  procTable
}

// KeeperMain is the whole life of a keeper process: it returns the process's
// exit status once COMMAND's tree is dead. The binary calls it before anything
// else, when its first argument is "keeper":
//
//	if len(os.Args) > 1 && os.Args[1] == "keeper" {
//		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
//	}
//
// args are the words behind the verb, environ is COMMAND's environment.
func KeeperMain(args, environ []string) int {
	// COMMAND's parent-death signal is tied to the thread that forks it.
	runtime.LockOSThread()
	runtime.GOMAXPROCS(1)
	// The loop allocates nothing, so there is nothing to collect: no pause,
	// and no collector thread to wait for on a starved machine.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)

	o, err := parseOrder(args)
	if err == nil {
		err = inherited(o)
	}
	k := &keeper{order: o, lease: lease{instance: o.instance}, environ: environ}
	k.poll = [4]unix.PollFd{{Fd: fdFrames, Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}, {Fd: -1}}
	deaf := make(chan os.Signal, 1)
	if err == nil && o.linger > 0 {
		k.herald = &herald{listener: fdListener, node: fdNode, linger: o.linger, held: o.held, asked: deaf}
		k.poll[3] = unix.PollFd{Fd: fdNode, Events: unix.POLLIN}
		err = k.herald.inherit()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interlok-ha:", err)
		return 2
	}
	// Told to end by anybody but the node, the keeper stays: whoever signals
	// the whole group or cgroup means COMMAND's planned stop, and that is the
	// node's to order. Notified, not ignored: COMMAND would inherit the latter.
	for _, sig := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM} {
		if !signal.Ignored(sig) {
			signal.Notify(deaf, sig)
		}
	}
	if k.timer, err = harden(o.privileges); err != nil {
		fmt.Fprintln(os.Stderr, "interlok-ha: keeper:", err)
		return 1 // the node reads a closed pipe and says that the keeper was lost
	}
	k.poll[1] = unix.PollFd{Fd: int32(k.timer), Events: unix.POLLIN}
	k.run()
	return 0
}

// inherited checks that the node's pipes are where they should be, and keeps
// every file of the node's from COMMAND.
func inherited(o order) error {
	for fd := fdFrames; fd < o.fixed()+o.held; fd++ {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil || fd <= fdReports && stat.Mode&unix.S_IFMT != unix.S_IFIFO {
			return fmt.Errorf("keeper: file %d was not inherited: it is started by interlok-ha run, not by hand", fd)
		}
		unix.CloseOnExec(fd)
	}
	for _, fd := range []int{fdFrames, fdReports} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("keeper: make pipe %d non-blocking: %w", fd, err)
		}
	}
	return nil
}

// harden makes this process fit to keep, and returns its timer. Without the
// first two it must not start anything; the rest is done as far as it is
// allowed.
func harden(privileges bool) (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("become a subreaper: %w", err)
	}
	if !privileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("give up new privileges: %w", err)
		}
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("create timer: %w", err)
	}
	// A name of its own: "killall interlok-ha" should not hit both.
	_ = os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte("interlok-keeper"), 0)
	Slim()
	// What was touched once stays in memory; what was not is not loaded for
	// it, or all of the binary would count as resident.
	_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	// COMMAND does not inherit the priority.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
	return timer, nil
}

// run keeps COMMAND until its tree is dead, and tells the node.
func (k *keeper) run() {
	if k.order.path == "" {
		k.report(frame{kind: kindStarted})
	}
	for {
		alive := k.reap()
		k.listen()
		if k.poll[3].Revents&unix.POLLIN != 0 { // somebody else may hold the pipe
			k.end(causeNodeGone)
		}
		k.judge(boottime.Now(), alive)
		if k.cause != 0 {
			break
		}
		if k.order.path == "" {
			k.sleep(-1)
			continue
		}
		if k.pid == 0 && k.fed {
			k.start()
			continue
		}
		k.arm()
		k.sleep(1000) // only bounds how long an orphan stays a zombie
	}
	k.killTree()
	k.farewell()
	// Here no descendant is left. If the node is gone too, be it that it went
	// while the tree was killed for another reason, all that it ran is dead:
	// it starts no second keeper while there is this one. Only of one that it did
	// not need after all it does not wait for the end: that one keeps silent.
	unneeded := k.cause == CauseKilled && k.pid == 0 && k.order.path != ""
	if h := k.herald; h != nil && !unneeded && (k.cause == causeNodeGone && h.after() || h.look(0)) {
		h.serve()
	}
}

// listen takes the frames that have come. All of them: each is an absolute
// time, so one that waited through a freeze is still true.
func (k *keeper) listen() {
	var echo frame
	for {
		n, err := unix.Read(fdFrames, k.buf[k.filled:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil || n == 0 {
			k.end(causeNodeGone)
			return
		}
		k.filled += n
		rest := k.buf[:k.filled]
		for len(rest) >= frameSize {
			f, _ := parseFrame(rest)
			rest = rest[frameSize:]
			if !k.take(f) {
				continue
			}
			switch f.kind {
			case kindFeed:
				echo = f
			case kindStop:
				k.stop(time.Duration(min(f.value, 1<<63-1)))
			case kindKill:
				k.end(CauseKilled)
			}
		}
		k.filled = copy(k.buf[:], rest)
	}
	if echo.seq != 0 {
		k.report(echo)
	}
}

// judge ends the run if it is time.
func (k *keeper) judge(now time.Duration, alive bool) {
	switch {
	case k.over(now):
		k.end(CauseExpired)
	case k.stopAt == 0 && k.reaped:
		k.end(CauseExited)
	case k.stopAt != 0 && (now >= k.stopAt || !alive):
		k.end(CauseStopped)
	}
}

// end remembers why; the first reason stays.
func (k *keeper) end(cause Cause) {
	if k.cause == 0 {
		k.cause = cause
	}
}

// start starts COMMAND in a process group of its own.
func (k *keeper) start() {
	attr := &syscall.ProcAttr{
		Env:   k.environ,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL},
	}
	pid, err := syscall.ForkExec(k.order.path, k.order.argv, attr)
	if err != nil {
		k.errno, _ = errors.AsType[syscall.Errno](err)
		k.end(CauseNotStarted)
		return
	}
	k.pid = pid
	if fd, err := unix.PidfdOpen(pid, 0); err == nil { // close-on-exec by itself
		k.poll[2] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	k.report(frame{kind: kindStarted, value: uint64(pid)})
	// A rehearsal: the code and memory that the end needs are touched, and by
	// mlockall stay, while nothing is urgent.
	_ = k.table.scan()
}

// stop asks every descendant to end, and gives them until at.
func (k *keeper) stop(at time.Duration) {
	if k.stopAt != 0 {
		k.stopAt = min(k.stopAt, at)
		return
	}
	k.stopAt = max(at, 1)
	if k.pid == 0 {
		k.end(CauseStopped)
		return
	}
	// The group first, in one step that no fork slips through; then those
	// that left it.
	group := 0
	if !k.reaped {
		group = k.pid
		_ = unix.Kill(-group, unix.SIGTERM)
	}
	if k.table.scan() != nil {
		return
	}
	self := os.Getpid()
	for _, p := range k.table.procs {
		if !p.dead() && p.group != group && k.table.below(p, self) {
			k.table.signal(p, unix.SIGTERM)
		}
	}
}

// reap waits for every child that has ended and reports whether any is left.
// Since orphans become the keeper's children, none left means that COMMAND has
// no descendant at all.
func (k *keeper) reap() bool {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false
		case pid == 0:
			return true
		case pid == k.pid:
			k.reaped, k.status = true, status
			if fd := k.poll[2].Fd; fd >= 0 {
				k.poll[2].Fd = -1
				_ = unix.Close(int(fd))
			}
		}
	}
}

// killTree returns once no descendant is left. It never gives up: as long as
// something lives, the next master must wait, or trust in the token.
func (k *keeper) killTree() {
	if k.pid != 0 && !k.reaped {
		_ = unix.Kill(-k.pid, unix.SIGKILL) // not waited for: its number is still its own
	}
	self := os.Getpid()
	pause := 100 * time.Microsecond
	for round := 0; k.reap(); round++ {
		if k.herald != nil {
			k.herald.look(0) // from then on its age counts
		}
		// Whoever loses its parent becomes our child, so the children alone
		// would do, generation by generation. A deep tree, or a kernel that
		// does not list them, needs the table of all processes, which takes
		// longer to read the more there are.
		if !k.killChildren() || round >= 5 {
			if k.table.scan() == nil {
				for _, p := range k.table.procs {
					if !p.dead() && k.table.below(p, self) {
						k.table.signal(p, unix.SIGKILL)
					}
				}
			}
		}
		k.doze(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// killChildren kills our own children and reports whether it found any. None of
// them was waited for, so their numbers are their own.
func (k *keeper) killChildren() bool {
	found := false
	// The thread that forked has COMMAND's process, the first has the orphans.
	for i, thread := range [2]int{os.Getpid(), unix.Gettid()} {
		if i > 0 && thread == os.Getpid() {
			break
		}
		for _, pid := range k.table.children(thread) {
			found = true
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return found
}

// farewell tells the node what happened, after the tree is dead.
func (k *keeper) farewell() {
	status := uint64(noStatus)
	if k.reaped {
		status = uint64(uint32(k.status))
	}
	if k.cause == CauseNotStarted {
		k.insist(frame{kind: kindFailed, value: uint64(k.errno)})
	}
	k.insist(frame{kind: kindEnded, value: uint64(k.cause)<<32 | status})
}

// report writes a frame to the node, if there is room. An echo that is lost
// looks like a keeper that is late, which is true.
func (k *keeper) report(f frame) error {
	f.instance = k.instance
	if f.epoch == 0 {
		f.epoch = k.epoch
	}
	f.put(&k.out)
	for {
		_, err := unix.Write(fdReports, k.out[:])
		if err != unix.EINTR {
			return err
		}
	}
}

// insist writes a frame, waiting for room as long as the node lives.
func (k *keeper) insist(f frame) {
	for errors.Is(k.report(f), unix.EAGAIN) {
		room := [1]unix.PollFd{{Fd: fdReports, Events: unix.POLLOUT}}
		_, _ = unix.Poll(room[:], 1000)
	}
}

// arm sets the timer to the next moment that ends something.
func (k *keeper) arm() {
	var spec unix.ItimerSpec
	next := k.until
	if k.stopAt != 0 {
		next = min(next, k.stopAt)
	}
	if k.fed {
		spec.Value = unix.NsecToTimespec(max(1, int64(next)))
	}
	_ = unix.TimerfdSettime(k.timer, unix.TFD_TIMER_ABSTIME, &spec, nil)
}

// sleep waits for a frame, the timer, the end of COMMAND's own process or of the
// node's, that of another descendant, or so many milliseconds. SIGCHLD has a handler (the runtime's), so
// it interrupts the wait; should it come just before, the pause ends it.
func (k *keeper) sleep(pause int) {
	_, _ = unix.Poll(k.poll[:], pause)
}

// doze waits for a child's end or the pause.
func (k *keeper) doze(pause time.Duration) {
	timeout := unix.NsecToTimespec(int64(pause))
	_, _ = unix.Ppoll(nil, &timeout, nil)
}

// describe names what a start failed with.
func describe(name string, errno syscall.Errno) error {
	switch errno {
	case unix.ENOENT:
		return fmt.Errorf("start command %q: it, or the interpreter it names, is not there: %w", name, errno)
	case unix.ENOEXEC:
		return fmt.Errorf("start command %q: neither a program for this machine nor a script with #!: %w", name, errno)
	}
	return fmt.Errorf("start command %q: %w", name, errno)
}
