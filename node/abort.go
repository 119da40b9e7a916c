package node

import (
	"fmt"
	"os"
	"time"
)

// abortWait is how long the words of an abort may take.
const abortWait = time.Second

// abort ends the process because work goes on that may not: nothing else stops
// a goroutine. It is the only place below cmd that exits.
func (n *Node) abort(why string) {
	if n.o.Abort == nil { // before all else: whoever reads the words may stand still
		time.AfterFunc(abortWait, func() { os.Exit(exitWorkRemains) })
	}
	n.o.Log.Error().Str("why", why).Msg("Aborting")
	if n.o.Abort != nil {
		n.o.Abort(why)
		return
	}
	fmt.Fprintln(os.Stderr, "interlok-ha: "+why)
	os.Exit(exitWorkRemains)
}
