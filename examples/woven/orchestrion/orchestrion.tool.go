//go:build tools

// Package orchestrated builds example.com/woven with DataDog/orchestrion; see the
// README one folder above. The program's own module stays as it is.
package orchestrated

import (
	_ "example.com/woven"

	_ "github.com/DataDog/orchestrion"
	_ "github.com/interlok-ha/interlok-ha/weave/hook"
)
