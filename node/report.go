package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/election/position"
)

// report logs who is there, at level trace, as often as a Java instance does at
// most, until ctx ends.
func (n *Node) report(ctx context.Context) error {
	if !n.o.Log.Trace().Enabled() {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(min(position.JavaMonitor, 2*n.s.Ping.Interval))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if v, err := n.manager.View(); err == nil {
				n.trace(n.o.Log, v)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// trace writes one report.
func (n *Node) trace(log zerolog.Logger, v election.View) {
	line := func(p election.PeerView) string {
		kind := "Slave"
		if isMaster(p.State) {
			kind = "Master"
		}
		return fmt.Sprintf("[ID: %s --Type: %s -- Slave position: %d -- Last Contact: %s]",
			p.ID.UUID(), kind, p.Position, time.Now().Add(-p.Age).Format(time.TimeOnly))
	}
	self := election.PeerView{ID: n.id, State: v.State, Position: v.Position}
	master := "none"
	if isMaster(v.State) {
		master = line(self)
	}
	var others []string
	for _, p := range v.Peers {
		switch {
		case p.ID == v.Follow.Instance:
			master = line(p)
		case !isMaster(p.State):
			others = append(others, line(p))
		}
	}
	log.Trace().Msg("My instance: " + line(self))
	log.Trace().Msg("Current master instance: " + master)
	log.Trace().Msg(strings.TrimSpace("Other online slave instances: " + strings.Join(others, " ")))
}
