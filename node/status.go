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
	own := n.conn.LocalAddr().String()
	if n.positions() {
		st.Settings.DelayMs, st.Settings.Retries = s.Ping.Interval.Milliseconds(), 0
		st.Settings.TimeoutMs = s.Ping.Timeout.Milliseconds()
		st.PromotionOrder = n.line(v)
		own = n.address
	}
	candidate := s.Election.Candidate && !n.mirrors()
	if st.Instance.Candidate = &candidate; !isMaster(v.State) {
		st.Instance.Barred = n.ineligible(v)
	}
	if v.Maintenance > 0 {
		until := admin.Time{Time: time.Now().Add(v.Maintenance)}
		st.Instance.MaintenanceUntil = &until
	}
	if isMaster(v.State) {
		st.Master = &admin.Master{Name: s.Name, ID: n.id.String(), Epoch: v.Epoch, Address: own}
	} else if !v.Follow.Instance.IsZero() {
		st.Master = &admin.Master{ID: v.Follow.Instance.String(), Epoch: v.Follow.Epoch, LastContactMs: v.FollowAge.Milliseconds()}
		st.Instance.Epoch = max(st.Instance.Epoch, v.Follow.Epoch)
	}
	for _, p := range v.Peers {
		addr := p.Addr.String()
		if n.direct != nil { // it dialled from any port
			addr = p.Name
		}
		if st.Master != nil && st.Master.ID == p.ID.String() {
			st.Master.Name, st.Master.Address = p.Name, addr
		}
		candidate := p.Flags.Has(heartbeat.FlagCandidate)
		said, word := p.State, stateWord(p.State, p.Flags.Has(heartbeat.FlagDrained), v.Maintenance > 0)
		if p.Age > n.s.Down() { // nobody knows what it is by now
			said, word = heartbeat.StateSlave, "silent"
		}
		st.Peers = append(st.Peers, admin.Peer{
			Name: p.Name, ID: p.ID.String(), Role: role(said), Position: p.Position, Epoch: p.Epoch,
			LastContactMs: p.Age.Milliseconds(), Address: addr, CacheSeq: p.Log.N,
			State:     word,
			Candidate: &candidate,
		})
		if !isMaster(said) && p.Age <= n.s.Down() {
			st.Peers[len(st.Peers)-1].Barred = n.barred(p)
		}
		if p.Epoch == 0 && st.Master != nil {
			st.Peers[len(st.Peers)-1].Epoch = st.Master.Epoch
		}
	}
	st.Cache = n.cacheAPI().status(st)
	st.Alarms = n.alarms(v)
	return st
}

func (n *Node) alarms(v election.View) (list []string) {
	switch {
	case n.positions():
		list = append(list, "the 3.3 design has no key: anyone on this network can take mastership")
	case len(n.s.Keys) == 0:
		list = append(list, "no key: anyone on this network can take mastership")
	}
	if v.Fault != "" {
		list = append(list, v.Fault)
	}
	if v.NoMajority != "" {
		list = append(list, v.NoMajority)
	}
	if why := n.nobodyMay(v); why != "" && v.Fault == "" && !n.positions() {
		list = append(list, why)
	}
	if v.Isolated {
		list = append(list, "no peer is heard any more; if they are really gone: promote --force")
	}
	if own := n.own.Load(); own != nil && n.direct == nil && n.conn.LocalAddr().Addr() != *own {
		list = append(list, "the network interface has another address than "+own.String()+", and the cache does not listen at that one yet: the log says why")
	}
	if n.positions() { // a name says no more than host and port
		if v.Unhealthy && !isMaster(v.State) { // and nobody else sees it
			list = append(list, "this instance is silent and in no line: "+n.ineligible(v))
		}
		if n.direct != nil && time.Since(n.started) > n.s.Ping.Timeout {
			for _, name := range n.rulers.strangers(v.Peers) {
				list = append(list, "no ping of "+name+" has come, whose cache is heard: is each of the two in failover.tcp.peers of the other?")
			}
		}
		return list
	}
	names := map[string]bool{n.s.Name: true}
	for _, p := range v.Peers {
		if names[p.Name] && p.Age < n.s.Down() {
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
