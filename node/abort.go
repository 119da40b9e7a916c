package node

import (
	"fmt"
	"os"
)

// abort ends the process because work goes on that may not: nothing else stops
// a goroutine. It is the only place below cmd that exits.
func (n *Node) abort(why string) {
	n.o.Log.Error().Str("why", why).Msg("Aborting")
	if n.o.Abort != nil {
		n.o.Abort(why)
		return
	}
	fmt.Fprintln(os.Stderr, "interlok-ha: "+why)
	os.Exit(exitWorkRemains)
}
