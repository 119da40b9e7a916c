package node

import (
	"os"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/broadcast"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// stateWord is the state as the contract of the API names it.
func stateWord(s heartbeat.State, drained, maintenance bool) string {
	switch s {
	case heartbeat.StateListening:
		return admin.StateListening
	case heartbeat.StateClaiming, heartbeat.StateOpening:
		return admin.StateClaiming
	case heartbeat.StateMaster:
		return admin.StateMaster
	case heartbeat.StateDraining, heartbeat.StateStopping:
		return admin.StateDraining
	case heartbeat.StateFault:
		return admin.StateFault
	}
	switch {
	case drained:
		return admin.StateDrained
	case maintenance:
		return admin.StateMaintenance
	}
	return admin.StateSlave
}

// Status tells what the instance knows now.
func (n *Node) Status() admin.Status {
	v, err := n.manager.View()
	if err != nil {
		v = election.View{State: heartbeat.StateFault, Fault: err.Error()}
	}
	s := n.s
	st := admin.Status{
		Cluster: s.Cluster,
		Instance: admin.Instance{
			Name: s.Name, ID: n.id.String(), Role: role(v.State),
			State:    stateWord(v.State, v.Drained, v.Maintenance > 0),
			Position: v.Position, Epoch: v.Epoch, Since: admin.Time{Time: n.feed.roleSince()},
			PID: os.Getpid(), Version: n.o.Version,
		},
		Settings: admin.Settings{
			Design: string(s.Design), DelayMs: s.Election.Delay.Milliseconds(), Retries: s.Election.Retries,
			Quorum: s.Election.Quorum, Authenticated: len(s.Keys) > 0,
		},
		Workload: n.work.Status(),
		Packets:  n.packets(),
	}
	if v.Maintenance > 0 {
		until := admin.Time{Time: time.Now().Add(v.Maintenance)}
		st.Instance.MaintenanceUntil = &until
	}
	if isMaster(v.State) {
		st.Master = &admin.Master{Name: s.Name, ID: n.id.String(), Epoch: v.Epoch, Address: n.conn.LocalAddr().String()}
	} else if !v.Follow.Instance.IsZero() {
		st.Master = &admin.Master{ID: v.Follow.Instance.String(), Epoch: v.Follow.Epoch, LastContactMs: v.FollowAge.Milliseconds()}
		st.Instance.Epoch = max(st.Instance.Epoch, v.Follow.Epoch)
	}
	for _, p := range v.Peers {
		if st.Master != nil && st.Master.ID == p.ID.String() {
			st.Master.Name, st.Master.Address = p.Name, p.Addr.String()
		}
		candidate := p.Flags.Has(heartbeat.FlagCandidate)
		said, word := p.State, stateWord(p.State, p.Flags.Has(heartbeat.FlagDrained), v.Maintenance > 0)
		if p.Age > n.s.Lease() { // nobody knows what it is by now
			said, word = heartbeat.StateSlave, "silent"
		}
		st.Peers = append(st.Peers, admin.Peer{
			Name: p.Name, ID: p.ID.String(), Role: role(said), Position: p.Position, Epoch: p.Epoch,
			LastContactMs: p.Age.Milliseconds(), Address: p.Addr.String(), CacheSeq: p.Log.N,
			State:     word,
			Candidate: &candidate,
		})
		if p.Epoch == 0 && st.Master != nil {
			st.Peers[len(st.Peers)-1].Epoch = st.Master.Epoch
		}
	}
	st.Cache = n.cacheAPI().status(st)
	st.Alarms = n.alarms(v)
	return st
}

func (n *Node) alarms(v election.View) (list []string) {
	if len(n.s.Keys) == 0 {
		list = append(list, "no key: anyone on this network can take mastership")
	}
	if v.Fault != "" {
		list = append(list, v.Fault)
	}
	if v.NoMajority != "" {
		list = append(list, v.NoMajority)
	}
	if v.Isolated {
		list = append(list, "no peer is heard any more; if they are really gone: promote --force")
	}
	names := map[string]bool{n.s.Name: true}
	for _, p := range v.Peers {
		if names[p.Name] && p.Age < n.s.Lease() {
			list = append(list, "two live instances have the name "+p.Name+", one of them at "+p.Addr.String())
		}
		names[p.Name] = true
	}
	return list
}

// packets adds the counters of sender and listener up.
func (n *Node) packets() *admin.Packets {
	p := &admin.Packets{Received: n.listen.Accepted(), Dropped: map[string]uint64{}}
	for _, c := range n.broadcast.Stats() {
		if c.Path == broadcast.Multicast.String() {
			p.Sent = c.Sent
		}
	}
	for _, c := range n.listen.Stats() {
		p.Dropped[c.Cause] = c.N
	}
	return p
}
