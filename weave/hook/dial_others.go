//go:build !linux

package hook

import (
	"errors"
	"os"
)

const canDial = false

func dial(string) (*os.File, error) { return nil, errors.ErrUnsupported }
