//go:build !unix

package cache

import (
	"errors"
	"net"
	"os"
)

func listenerFile(net.Listener) (*os.File, error) {
	return nil, errors.New("cache: listeners have no file on this system")
}
