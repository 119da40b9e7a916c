package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocketPath is what sun_path holds on Linux less its closing zero byte. The
// BSDs allow 103; the call itself says so there.
const maxSocketPath = 107

// CheckSocketPath says whether a Unix socket can be made under path: nil, or an
// *Error that tells how to get a shorter one. It touches no file.
func CheckSocketPath(path string) error {
	if path == "" {
		return badSocket(nil, "no socket path given", "")
	}
	if n := len(path); n > maxSocketPath {
		return badSocket(nil,
			fmt.Sprintf("the socket path %s has %d bytes, the system allows %d", path, n, maxSocketPath),
			"choose a shorter name or cluster, or set XDG_RUNTIME_DIR to a shorter folder")
	}
	return nil
}

// socket is a listening Unix socket and the file that stands for it.
type socket struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// listenSocket makes the folder and the socket, both closed to others. It
// removes a socket that nobody answers, and nothing else.
func listenSocket(path string) (*socket, error) {
	if err := CheckSocketPath(path); err != nil {
		return nil, err
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := clearPlace(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, badSocket(err, fmt.Sprintf("listen on %s: %v", path, cause(err)), "")
	}
	// The file is removed by close, which first looks whether it is still ours.
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	// Between bind and here only the folder keeps others out; it is enough.
	if err = os.Chmod(path, 0o600); err == nil {
		s.made, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		return nil, badSocket(err, fmt.Sprintf("close the socket to others: %v", err), "")
	}
	return s, nil
}

// Close stops listening and removes the file, unless somebody else's stands there now.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && s.made != nil && os.SameFile(now, s.made) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// makeFolder makes the folder, or finds one that only we can enter. A folder
// that was there and is open to others is not ours to close: it may be /tmp.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return badSocket(err, fmt.Sprintf("make the folder of the socket: %v", err),
			"set XDG_RUNTIME_DIR to a folder that you can write")
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return badSocket(err, fmt.Sprintf("look at the folder of the socket: %v", err), "")
	}
	switch uid, known := ownerOf(info); {
	case info.Mode()&fs.ModeSymlink != 0:
		return badSocket(nil, fmt.Sprintf("%s is a symbolic link; the socket's folder must be a real one", dir), "remove the link")
	case known && uid != os.Geteuid():
		return badSocket(nil, fmt.Sprintf("the folder %s belongs to user %d", dir, uid),
			"set XDG_RUNTIME_DIR to a folder of your own")
	case known && info.Mode().Perm()&0o077 != 0:
		return badSocket(nil, fmt.Sprintf("the folder %s is open to others (mode %#o)", dir, info.Mode().Perm()),
			"chmod 700 "+dir)
	}
	// Who owns the folder above could swap ours for another.
	above := filepath.Dir(dir)
	info, err = os.Stat(above)
	if err != nil {
		return badSocket(err, fmt.Sprintf("look at the folder above the socket's: %v", err), "")
	}
	return checkAbove(above, info)
}

// checkAbove says who but us and root could swap folders in above.
func checkAbove(above string, info fs.FileInfo) error {
	uid, known := ownerOf(info)
	switch {
	case known && uid != os.Geteuid() && uid != 0:
		return badSocket(nil, fmt.Sprintf("the folder %s belongs to user %d", above, uid),
			"set XDG_RUNTIME_DIR to a folder of your own")
	case known && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return badSocket(nil, fmt.Sprintf("anyone can swap folders in %s (mode %#o)", above, info.Mode().Perm()),
			"chmod o-w "+above)
	}
	return nil
}

// clearPlace removes a stale socket. Anything else in its place is an error.
func clearPlace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return badSocket(err, fmt.Sprintf("look at the socket's place: %v", err), "")
	case info.Mode()&fs.ModeSymlink != 0:
		return badSocket(nil, fmt.Sprintf("%s is a symbolic link, it is not followed", path), "remove it")
	case info.Mode()&fs.ModeSocket == 0:
		return badSocket(nil, fmt.Sprintf("%s is there and is no socket", path), "remove it")
	}
	switch alive, err := answers(path); {
	case err != nil:
		return badSocket(err, fmt.Sprintf("ask who listens on %s: %v", path, cause(err)), "")
	case alive:
		return &Error{Kind: KindRunning, Detail: fmt.Sprintf("somebody answers on %s already", path),
			Mend: "choose another name, or stop the instance that runs there"}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return badSocket(err, fmt.Sprintf("remove the stale socket: %v", err), "")
	}
	return nil
}

// answers dials the socket and hangs up. Only a refusal says that nobody is
// there; a full backlog is somebody slow.
func answers(path string) (bool, error) {
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return true, nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded):
		return true, nil
	}
	return false, err
}

// cause strips what net puts around a system error: the path stands in our text already.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err
}

func badSocket(err error, detail, mend string) error {
	return &Error{Kind: KindBadSocket, Detail: detail, Mend: mend, Err: err}
}
