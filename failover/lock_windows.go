//go:build windows

package failover

import (
	"fmt"
	"os"
	"time"
)

const noFollow = 0

// ownerOf is not known here.
func ownerOf(os.FileInfo) (uid int, known bool) { return 0, false }

// lockDir opens the file without sharing, which Windows lets one process do.
func lockDir(name string, _ time.Duration) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	return f, nil
}
