//go:build !linux

package weave

import "os/exec"

const canReport = false

func mortal(*exec.Cmd) {}
