//go:build !linux

package demo

import (
	"errors"
	"os"
	"syscall"
)

var errSystem = errors.New("the demo needs Linux 5.10 or later")

func childAttr() *syscall.SysProcAttr { return nil }

func freeze(*os.Process) error { return errSystem }

func thaw(*os.Process) error { return errSystem }

func killGroup(int) {}

type process struct{}

func openProcess(int) (*process, error) { return nil, errSystem }

func (*process) wait() bool { return false }

func (*process) close() {}
