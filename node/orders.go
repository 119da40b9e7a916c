package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// orders is the Node as the API gives it orders: one function a verb, used by
// the command line, HTTP and the dashboard alike.
type orders Node

var _ admin.Node = (*orders)(nil)

func (o *orders) node() *Node { return (*Node)(o) }

// Status tells what the instance knows now.
func (o *orders) Status() admin.Status { return o.node().Status() }

// Subscribe streams events, the present state first.
func (o *orders) Subscribe(ctx context.Context) <-chan admin.Event {
	state := o.Status().Instance.State
	if state != admin.StateDrained && state != admin.StateMaintenance {
		state = "" // events tell the others, and are newer
	}
	return o.feed.out.SubscribeIn(ctx, state)
}

func refuse(kind admin.Kind, detail, mend string) error {
	return &admin.Error{Kind: kind, Detail: detail, Mend: mend}
}

func unavailable(err error) error {
	return &admin.Error{Kind: admin.KindUnavailable, Detail: "the instance is stopping", Err: err}
}

// patience gives ctx a limit if it has none: the time a hand-over may take.
func (o *orders) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, o.s.Workload.StopTimeout+o.s.Down()+o.s.Every())
}

// await reads events until done says so.
func await(ctx context.Context, events <-chan election.Event, what string, done func(election.Event) (bool, error)) error {
	for {
		select {
		case e := <-events:
			if ok, err := done(e); ok || err != nil {
				return err
			}
		case <-ctx.Done():
			return &admin.Error{Kind: admin.KindTimeout, Detail: what + " was not seen in time", Mend: "look at: interlok-ha status", Err: ctx.Err()}
		}
	}
}

// Switchover hands mastership to the instance named to, or to the best one.
func (o *orders) Switchover(ctx context.Context, to string) (string, error) {
	n := o.node()
	ctx, cancel := o.patience(ctx)
	defer cancel()
	if n.positions() {
		return n.switchPositions(ctx, to)
	}
	events, off := n.feed.hook()
	defer off()
	v, err := n.manager.View()
	if err != nil {
		return "", unavailable(err)
	}
	isSelf := to == n.s.Name
	var peer heartbeat.InstanceID
	if to != "" && !isSelf {
		p, err := n.findPeer(v, to)
		if err != nil {
			return "", err
		}
		peer = p.ID
	}
	switch {
	case isMaster(v.State):
		if isSelf {
			return to, nil
		}
		if err := handOverError(n.manager.HandOver(peer, "switchover"), to); err != nil {
			return "", err
		}
	case v.Follow.Instance.IsZero():
		return "", refuse(admin.KindRefused, "no master is known here", "wait for one, or look at: interlok-ha status")
	case peer == v.Follow.Instance:
		return to, nil
	default:
		if isSelf {
			if why := n.ineligible(v); why != "" {
				return "", refuse(admin.KindIneligible, to+" may not become master: "+why, "")
			}
		}
		if len(n.s.Keys) == 0 {
			return "", refuse(admin.KindNotMaster, fmt.Sprintf("master is %s: run it there", whereMaster(v)),
				"with failover.key set it can be asked from any instance")
		}
		if to == "" && !n.heirHeard(v) {
			return "", noHeir() // as the master would, but it has no way to tell
		}
		if isSelf {
			peer = n.id
		}
		if err := n.manager.Tell(election.Request{To: peer}); err != nil {
			return "", unavailable(err)
		}
	}
	master, what := "", "a new master"
	if !isMaster(v.State) {
		what = "a new master, which was asked of the one that is,"
	}
	err = await(ctx, events, what, func(e election.Event) (bool, error) {
		switch {
		case e.Type == election.EventMaster && !e.Peer.IsZero() && e.Peer != v.Follow.Instance:
			master = e.Name
			return true, nil
		case e.Type == election.EventOpened:
			master = n.s.Name
			return true, nil
		case e.Type == election.EventHandoverFails:
			return false, refuse(admin.KindRefused, "nobody took over: "+e.Detail, "look at: interlok-ha status")
		}
		return false, nil
	})
	return master, err
}

// whereMaster names the master that v follows, and its address if it was heard
// itself.
func whereMaster(v election.View) string {
	for _, p := range v.Peers {
		if p.ID == v.Follow.Instance {
			return p.Name + " on " + p.Addr.String()
		}
	}
	return v.Follow.Instance.String()
}

// heirHeard reports whether this slave, or a peer that it hears, could take over
// from the master that it follows.
func (n *Node) heirHeard(v election.View) bool {
	return n.ineligible(v) == "" || slices.ContainsFunc(v.Peers, func(p election.PeerView) bool {
		return p.Eligible && p.ID != v.Follow.Instance && p.Age <= n.s.Down()
	})
}

func noHeir() error {
	return refuse(admin.KindRefused, "no other instance may become master", "start one, or resume one")
}

// findPeer finds a peer that may become master by its name.
func (n *Node) findPeer(v election.View, name string) (election.PeerView, error) {
	named := 0
	for _, p := range v.Peers {
		if p.Name == name && p.Confirmed {
			named++
		}
	}
	if named > 1 {
		return election.PeerView{}, refuse(admin.KindRefused, "two instances have the name "+name, "give one of them another: --name")
	}
	for _, p := range v.Peers {
		if p.Name != name || named > 0 && !p.Confirmed { // one that is gone may have had the name before
			continue
		}
		why := n.barred(p)
		switch {
		case p.ID == v.Follow.Instance:
			why = ""
		case why != "":
		case !p.Eligible:
			why = "it is " + p.State.String()
		case !p.Confirmed:
			why = "it does not hear this instance"
		}
		if why != "" {
			return p, refuse(admin.KindIneligible, name+" may not become master: "+why, "")
		}
		return p, nil
	}
	return election.PeerView{}, refuse(admin.KindUnknown, "no instance named "+name+" is heard", "the names are in: interlok-ha status")
}

func handOverError(err error, to string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, election.ErrNoHeir):
		return noHeir()
	case errors.Is(err, election.ErrNotEligible), errors.Is(err, election.ErrNoPeer):
		return refuse(admin.KindIneligible, to+" may not become master now", "look at: interlok-ha status")
	case errors.Is(err, election.ErrBusy):
		return refuse(admin.KindRefused, "a hand-over is under way", "wait for it")
	case errors.Is(err, election.ErrNotMaster):
		return refuse(admin.KindNotMaster, "this instance is not the master any more", "try again")
	}
	return unavailable(err)
}

// Drain gives the role up and stays out until Resume.
func (o *orders) Drain(ctx context.Context, force bool) error {
	n := o.node()
	ctx, cancel := o.patience(ctx)
	defer cancel()
	events, off := n.feed.hook()
	defer off()
	v, err := n.manager.View()
	if err != nil {
		return unavailable(err)
	}
	if v.Drained {
		return nil
	}
	others := n.othersServe(v)
	if !others && !force {
		return refuse(admin.KindRefused, "no other instance may become master", "nobody would work: add --force if that is meant")
	}
	ordered := now()
	if err := n.manager.Tell(election.Drain{}); err != nil {
		return unavailable(err)
	}
	if !isMaster(v.State) {
		return n.stillServed(ctx, ordered, force)
	}
	err = await(ctx, events, "the end of the mastership", func(e election.Event) (bool, error) {
		return e.Type == election.EventState && e.State == heartbeat.StateSlave, nil
	})
	if err != nil || !others {
		return err
	}
	// The order is carried out; a moment more, and its effect can be told.
	soon, done := context.WithTimeout(ctx, n.s.Every())
	defer done()
	_ = await(soon, events, "the next master", func(e election.Event) (bool, error) {
		return e.Type == election.EventMaster && !e.Peer.IsZero(), nil
	})
	return n.stillServed(ctx, ordered, force)
}

// othersServe reports whether a peer works or may do so next, of those that hear
// this instance and so learn that it goes.
func (n *Node) othersServe(v election.View) bool {
	return slices.ContainsFunc(v.Peers, func(p election.PeerView) bool {
		// In maintenance nobody takes over, but a master works on.
		return n.serves(p) && p.Confirmed && (v.Maintenance == 0 || isMaster(p.State))
	})
}

// serves reports whether a peer works or may do so next.
func (n *Node) serves(p election.PeerView) bool {
	return p.Eligible || n.positions() && isMaster(p.State)
}

// stillServed looks, after a drain, for an instance that said since then that
// it may become master. If all were drained at the same time, none is left:
// then the one with the lowest id takes its drain back. The others wait for
// that: it may have looked before, when there was somebody yet, and then the
// next one takes its own back.
func (n *Node) stillServed(ctx context.Context, ordered time.Duration, force bool) error {
	if force {
		return nil
	}
	look := time.NewTicker(n.s.Every() / 4)
	defer look.Stop()
	deadline, first := ordered+2*n.s.Every(), true
	for {
		v, err := n.manager.View()
		if err != nil {
			return unavailable(err)
		}
		for _, p := range v.Peers {
			if n.serves(p) && p.Age < now()-ordered {
				return nil
			}
		}
		if now() >= deadline {
			if !first || !n.lowerDrained(v) {
				break
			}
			deadline, first = deadline+2*n.s.Every(), false
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil // the order itself was carried out
		}
	}
	if err := n.manager.Tell(election.Resume{}); err != nil {
		return unavailable(err)
	}
	return refuse(admin.KindRefused, "all were drained at the same time; this one is resumed", "add --force if nobody is to work")
}

// lowerDrained reports whether a drained peer has a lower id than this one.
func (n *Node) lowerDrained(v election.View) bool {
	return slices.ContainsFunc(v.Peers, func(p election.PeerView) bool {
		return p.Flags.Has(heartbeat.FlagDrained|heartbeat.FlagCandidate) && bytes.Compare(p.ID[:], n.id[:]) < 0
	})
}

// Resume takes part again.
func (o *orders) Resume(context.Context) error {
	if err := o.manager.Tell(election.Resume{}); err != nil {
		return unavailable(err)
	}
	return nil
}

// Promote claims mastership.
func (o *orders) Promote(ctx context.Context, force bool) error {
	n := o.node()
	ctx, cancel := o.patience(ctx)
	defer cancel()
	events, off := n.feed.hook()
	defer off()
	v, err := n.manager.View()
	switch {
	case err != nil:
		return unavailable(err)
	case isMaster(v.State):
		return nil
	case n.mirrors():
		return refuse(admin.KindIneligible, "this instance does not vote, it only mirrors (failover.voters)", "")
	case !n.s.Election.Candidate:
		return refuse(admin.KindIneligible, "this instance is a witness (failover.candidate=false)", "")
	case v.Drained:
		return refuse(admin.KindIneligible, "this instance is drained", "interlok-ha resume")
	case !v.Follow.Instance.IsZero() && (!force || n.positions()):
		return refuse(admin.KindRefused, "there is a master", "hand over with: interlok-ha switchover")
	}
	if err := n.manager.Tell(election.Promote{Force: force}); err != nil {
		return unavailable(err)
	}
	err = await(ctx, events, "the promotion", func(e election.Event) (bool, error) {
		return e.Type == election.EventOpened, nil
	})
	if late, ok := errors.AsType[*admin.Error](err); ok && late.Kind == admin.KindTimeout {
		if v, viewErr := n.manager.View(); viewErr == nil && v.NoMajority != "" {
			late.Detail += ": " + v.NoMajority
		}
	}
	return err
}

// Maintenance forbids claims in the whole cluster for d; 0 allows them again.
func (o *orders) Maintenance(_ context.Context, d time.Duration) error {
	if o.node().positions() {
		mend := "drain the slaves, one by one"
		if d == 0 {
			mend = "there is none to end; who was drained comes back with: interlok-ha resume"
		}
		return refuse(admin.KindRefused, "the 3.3 design has no maintenance: its pings cannot tell it", mend)
	}
	if err := o.manager.Tell(election.SetMaintenance{For: d}); err != nil {
		return unavailable(err)
	}
	return nil
}
