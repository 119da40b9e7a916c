package node_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// A wrong plugin is told before anything is opened: there is not even a state
// directory then.
func TestUnknownPlugin(t *testing.T) {
	home := t.TempDir()
	cfg := node.Config{
		Environ: []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home},
		Set:     []string{"failover.name=a", "failover.interface=lo", "com.adaptris.profiler.plugin.factory=log,mine,yours"},
		Plugins: map[string]profiler.Plugin{"mine": nil},
	}
	err := node.Run(context.Background(), cfg, func(context.Context, *node.Master) error { return nil })
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) != 1 || faults[0].Place != "--set" || !strings.Contains(faults[0].Wrong, `"yours"`) || !strings.Contains(faults[0].Instead, "mine") {
		t.Errorf("got %v, want one fault that names yours and knows mine", err)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
