//go:build linux

package lab

import (
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
)

// lineTime is the time for a line to settle, on a machine that is busy.
const lineTime = 20 * time.Second

// SettledLine waits until one of the instances, of the 3.3 design, is master,
// all the others follow it, and they stand at positions 1 to n, as each of them
// sees it. It returns the master, and the line from position 1 on.
func (c *Cluster) SettledLine(of ...*Instance) (master *Instance, line []*Instance) {
	c.t.Helper()
	Wait(c.t, "one master, and a line from 1 on", lineTime, func() bool {
		master, line = nil, make([]*Instance, len(of)-1)
		byID := map[string]*Instance{}
		var all []admin.Status
		for _, i := range of {
			s, err := i.Status()
			if err != nil {
				return false
			}
			byID[s.Instance.ID] = i
			all = append(all, s)
			p := s.Instance.Position
			switch {
			case s.Instance.State == admin.StateMaster && master == nil:
				master = i
			case s.Instance.State == admin.StateSlave && p >= 1 && p <= len(line) && line[p-1] == nil:
				line[p-1] = i
			default:
				return false
			}
		}
		if master == nil {
			return false
		}
		for _, s := range all {
			if s.Master == nil || byID[s.Master.ID] != master || len(s.PromotionOrder) != len(line) {
				return false
			}
			for n, p := range s.PromotionOrder {
				if p.Position != n+1 || byID[p.ID] != line[n] {
					return false
				}
			}
		}
		return true
	})
	return master, line
}
