//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// soon bounds what should happen at once, on a machine that is busy.
const soon = 10 * time.Second

// count is small by default and full with -full.
func count(small, full int) int {
	if lab.Full() {
		return full
	}
	return small
}

func names(list []*lab.Instance) (n []string) {
	for _, i := range list {
		n = append(n, i.Name)
	}
	return n
}
