package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newCheck returns the function that runs the health command once.
func newCheck(cfg HealthConfig) (func(context.Context) error, error) {
	path, err := Config{Command: cfg.Command, Dir: cfg.Dir}.resolve()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return check(ctx, cfg, path) }, nil
}

// check runs the health command in a process group of its own, which is dead
// when check returns: at ctx's end, or once the command itself has ended. (A
// check that starts a daemon in its own session loses sight of it; so do we.)
func check(ctx context.Context, cfg HealthConfig, path string) error {
	// The parent-death signal is tied to the thread that forks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var output head
	cmd := &exec.Cmd{
		Path: path, Args: cfg.Command, Env: append([]string{}, cfg.Env...), Dir: cfg.Dir,
		Stdout: &output, Stderr: &output,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL},
		WaitDelay:   time.Second, // who left the group may still hold the pipe
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("health command %q: %w", cfg.Command[0], err)
	}
	group := cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Not waited for yet, so that its number, and the group's, stay its own.
		for unix.Waitid(unix.P_PID, group, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	timedOut := false
	select {
	case <-ended:
	case <-ctx.Done():
		timedOut = true
	}
	_ = unix.Kill(-group, unix.SIGKILL)
	_ = unix.Kill(group, unix.SIGKILL) // should it have left its group
	<-ended
	err := cmd.Wait()
	// Members of the group that lost their parent are ours if this process is
	// a subreaper. They were killed above: this waits for nobody living.
	for {
		_, waitErr := unix.Wait4(-group, nil, unix.WALL, nil)
		if waitErr != nil && waitErr != unix.EINTR {
			break
		}
	}

	said := ""
	if text := bytes.TrimSpace(output.kept); len(text) > 0 {
		said = fmt.Sprintf(": %.200q", text)
	}
	switch {
	case timedOut:
		return fmt.Errorf("health command %q: %w%s", cfg.Command[0], ctx.Err(), said)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it ended well, and left somebody with its output
	case err != nil:
		return fmt.Errorf("health command %q: %w%s", cfg.Command[0], err, said)
	}
	return nil
}
