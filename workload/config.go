package workload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
)

// ErrUnsupported is what Start and NewHealth return on a system other than
// Linux.
var ErrUnsupported = errors.New("running a COMMAND needs Linux 5.10 or later")

// Config says what to run and how. It is read by [Start] and not changed.
type Config struct {
	// Command is the program and its arguments. No shell reads them. A
	// program without a slash is looked for in PATH; a relative path counts
	// from Dir.
	Command []string
	// Env is the base of COMMAND's environment; Start adds the reign's
	// variables. Nothing is inherited besides.
	Env []string
	// Dir is COMMAND's working directory; empty means the node's.
	Dir string
	// Stdin, Stdout and Stderr are handed to COMMAND as they are, so that no
	// amount of output can slow the node or the keeper. Nil means /dev/null.
	Stdin, Stdout, Stderr *os.File
	// HoldFiles are inherited by the keeper, which keeps them open until the
	// tree is dead (and, with an Obituary, the node too), and not by COMMAND. A
	// lock on such a file lives as long. Whoever writes to one after that ends
	// the keeper: it is a successor, who needs the node's port.
	HoldFiles []*os.File
	// Obituary, if there is one, is told by the keeper when the node is dead.
	Obituary *Obituary
	// NewPrivileges lets COMMAND gain privileges by set-user-id programs.
	// Such a program outlives a keeper that is killed.
	NewPrivileges bool
	// Executable is the binary that calls KeeperMain for the verb "keeper";
	// empty means the one that is running, even if its file was replaced.
	Executable string
	// Log gets the lifecycle of COMMAND.
	Log zerolog.Logger
}

// Check reports what can be known to be wrong before a start: no command, no
// such program, a folder, not executable.
func (c Config) Check() error {
	_, err := c.resolve()
	return err
}

// resolve checks the Config and returns the absolute path of the program.
func (c Config) resolve() (string, error) {
	if len(c.Command) == 0 || c.Command[0] == "" {
		return "", errors.New("start command: none given")
	}
	name := c.Command[0]
	for _, arg := range c.Command {
		if strings.ContainsRune(arg, 0) {
			return "", fmt.Errorf("start command %q: a NUL byte in an argument", name)
		}
	}
	if c.Dir != "" {
		info, err := os.Stat(c.Dir)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "chdir", Path: c.Dir, Err: errors.New("not a directory")}
		}
		if err != nil {
			return "", fmt.Errorf("start command %q: working directory: %w", name, err)
		}
	}
	path := name
	if !strings.ContainsRune(name, filepath.Separator) {
		found, err := exec.LookPath(name)
		if err != nil {
			var notFound *exec.Error
			if errors.As(err, &notFound) && errors.Is(notFound.Err, exec.ErrNotFound) {
				return "", fmt.Errorf("start command %q: not found in PATH: %w", name, fs.ErrNotExist)
			}
			return "", fmt.Errorf("start command %q: %w", name, err)
		}
		path = found
	} else if !filepath.IsAbs(name) {
		path = filepath.Join(c.Dir, name)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("start command %q: %w", name, err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("start command %q: %w", name, err)
	case info.IsDir():
		return "", fmt.Errorf("start command %q: %s is a directory", name, path)
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("start command %q: %s is not executable: %w", name, path, fs.ErrPermission)
	}
	return path, nil
}
