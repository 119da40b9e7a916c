package node

import (
	"context"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/workload"
)

// newHealth makes the check of the workload, if one is configured.
func (n *Node) newHealth() (interface{ Run(context.Context) error }, error) {
	h := n.s.Health
	if len(h.Command) == 0 {
		return nil, nil //nolint:nilnil // no check is no fault
	}
	return workload.NewHealth(workload.HealthConfig{
		Command: h.Command, Env: n.o.Environ, Interval: h.Interval, Timeout: h.Timeout, Failures: h.Failures,
		Log: n.o.Log,
		OnChange: func(v workload.Verdict) {
			if !v.Healthy {
				n.o.Log.Warn().AnErr("reason", v.Reason).Msg("The health check fails")
			}
			_ = n.manager.Tell(election.Health{OK: v.Healthy})
		},
	})
}
