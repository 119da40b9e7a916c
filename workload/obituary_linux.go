package workload

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// testament makes what the keeper needs for an obituary, beside the listener:
// a pidfd of this process, and a pipe that holds the secret before the keeper
// is born. (The words and the environment of a process can be read by others.)
// It returns nothing if there is to be no obituary. A COMMAND runs without one
// where this kernel, or a filter before it, has no pidfd.
func (p *Process) testament() ([]*os.File, error) {
	o := p.cfg.Obituary
	if o == nil {
		return nil, nil
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("obituary: %w", err)
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0) // close-on-exec by itself
	if err != nil {
		err = fmt.Errorf("obituary: %w", os.NewSyscallError("pidfd_open", err))
		if p.bare() {
			return nil, err
		}
		p.cfg.Log.Warn().Err(err).Msg("If this instance dies its peers learn it by its silence only")
		return nil, nil
	}
	node := os.NewFile(uintptr(self), "pidfd")
	r, w, err := os.Pipe()
	if err != nil {
		_ = node.Close()
		return nil, fmt.Errorf("obituary: %w", err)
	}
	_, err = w.Write(o.testament())
	_ = w.Close()
	if err != nil {
		closeAll([]*os.File{node, r})
		return nil, fmt.Errorf("obituary: %w", err)
	}
	return []*os.File{node, r}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
