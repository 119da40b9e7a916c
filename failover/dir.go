package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// checkDir refuses a directory in which others may change what is kept: one of
// another user, or one in which others can put files in the place of ours. Below
// a folder that is shared, like /tmp, the next one down must not be another
// user's either: whoever made that can put another directory in the place of dir.
func checkDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := ofAnother(dir, info); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if mode := info.Mode(); shared(mode) && mode&os.ModeSticky == 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("state directory: others can change what is in %s (mode %04o); run chmod 0700 %s", dir, mode.Perm(), dir)
	}
	for path := dir; path != filepath.Dir(path); path = filepath.Dir(path) {
		above, err := os.Stat(filepath.Dir(path))
		if err == nil && shared(above.Mode()) && above.Mode()&os.ModeSticky != 0 {
			if info, err = os.Lstat(path); err == nil {
				err = ofAnother(path, info)
			}
		}
		if err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
	}
	return nil
}

// shared reports whether others may make and remove files in a directory.
func shared(mode os.FileMode) bool { return mode.Perm()&0o022 != 0 }

func ofAnother(path string, info os.FileInfo) error {
	if uid, known := ownerOf(info); known && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could change what is in it; "+
			"run chown for the user that interlok-ha runs as, or choose another with failover.state.dir", path, uid)
	}
	return nil
}
