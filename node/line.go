package node

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// line is the order of promotion: the slaves that have a place, the first before
// the others.
func (n *Node) line(v election.View) []admin.Place {
	var line []admin.Place
	if v.Position > 0 && !isMaster(v.State) {
		line = append(line, admin.Place{Position: v.Position, Name: n.s.Name, ID: n.id.String()})
	}
	for _, p := range v.Peers {
		if p.Position > 0 && !isMaster(p.State) {
			line = append(line, admin.Place{Position: p.Position, Name: p.Name, ID: p.ID.String()})
		}
	}
	slices.SortStableFunc(line, func(a, b admin.Place) int { return cmp.Compare(a.Position, b.Position) })
	return line
}

// isSelf reports whether somebody means this instance.
func (n *Node) isSelf(name string) bool {
	return name == n.s.Name || n.positions() && (name == n.address || sameID(n.id, name))
}

// sameID reports whether text is that id, as hexadecimal digits or as a UUID.
func sameID(id heartbeat.InstanceID, text string) bool {
	return strings.ReplaceAll(strings.ToLower(text), "-", "") == id.String()
}

// findPlace finds the one that --to names in the 3.3 design, where a peer has
// no name but its host:port: the one that is promoted next.
func (n *Node) findPlace(v election.View, to string) (heartbeat.InstanceID, error) {
	var named []election.PeerView
	for _, p := range v.Peers {
		if p.Name == to || sameID(p.ID, to) {
			named = append(named, p)
		}
	}
	// Who has left, or was restarted, is known until the timeout. The next start
	// with that name listens for two intervals before it is heard.
	lately := slices.DeleteFunc(slices.Clone(named), func(p election.PeerView) bool { return p.Age > 2*n.s.Every() })
	if len(lately) > 0 {
		named = lately
	}
	switch len(named) {
	case 0:
		return heartbeat.InstanceID{}, refuse(admin.KindUnknown, "no instance "+to+" is heard", "say host:port, as interlok-ha status does, or the id, from: interlok-ha status -o json")
	case 1:
		return named[0].ID, nil
	}
	slices.SortFunc(named, func(a, b election.PeerView) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return heartbeat.InstanceID{}, refuse(admin.KindRefused, fmt.Sprintf("%d instances are %s", len(named), to),
		"say the id of one, such as "+named[0].ID.String())
}

// switchPositions is the planned hand-over of the 3.3 design: the master stops
// its work and falls silent, and position 1 promotes itself.
func (n *Node) switchPositions(ctx context.Context, to string) (string, error) {
	events, off := n.feed.hook()
	defer off()
	v, err := n.manager.View()
	if err != nil {
		return "", unavailable(err)
	}
	self := to != "" && n.isSelf(to)
	if self && to != n.s.Name && slices.ContainsFunc(v.Peers, func(p election.PeerView) bool { return p.Name == to }) {
		self = false // over multicast all on one machine are host:0, and the master means another one
	}
	switch {
	case isMaster(v.State) && self:
		return n.s.Name, nil
	case isMaster(v.State):
	case v.Follow.Instance.IsZero():
		return "", refuse(admin.KindRefused, "no master is known here", "wait for one, or look at: interlok-ha status")
	default:
		master := n.Status().Master
		if master == nil { // since then
			return "", refuse(admin.KindRefused, "no master is known here", "wait for one, or look at: interlok-ha status")
		}
		return "", refuse(admin.KindNotMaster, fmt.Sprintf("master is %s on %s: run it there", master.Name, master.Address),
			"in the 3.3 design only the master can be asked")
	}
	var heir heartbeat.InstanceID
	if to != "" {
		if heir, err = n.findPlace(v, to); err != nil {
			return "", err
		}
	}
	if err := n.manager.HandOver(heir, "switchover"); err != nil {
		if line := n.line(v); len(line) > 0 && !heir.IsZero() && line[0].ID != heir.String() {
			return "", refuse(admin.KindIneligible, to+" does not stand at position "+fmt.Sprint(line[0].Position),
				"position 1 is promoted, and that is "+line[0].Name+", "+line[0].ID)
		}
		return "", handOverError(err, to)
	}
	master := ""
	err = await(ctx, events, "a new master", func(e election.Event) (bool, error) {
		switch e.Type {
		case election.EventMaster:
			master = e.Name
			return !e.Peer.IsZero(), nil
		case election.EventHandoverFails:
			return false, refuse(admin.KindRefused, "nobody took over: "+e.Detail, "look at: interlok-ha status")
		case election.EventOpened:
			master = n.s.Name
			return true, nil
		}
		return false, nil
	})
	return master, err
}
