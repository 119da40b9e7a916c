//go:build linux

package e2e

import (
	"testing"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestNeighbours has two clusters on one group and port. Each elects its own
// master and counts what it hears of the other.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	const key1, key2 = "failover.key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "failover.key=/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, tt := range []struct {
		name     string
		sameName bool
		one, two []string
		drop1    string // what the first counts the other's packets as
		drop2    string
	}{
		{name: "other cluster", drop1: "cluster", drop2: "cluster"},
		{name: "other cluster, same key", one: []string{key1}, two: []string{key1}, drop1: "cluster", drop2: "cluster"},
		{name: "other key", sameName: true, one: []string{key1}, two: []string{key2}, drop1: "key", drop2: "key"},
		{name: "key and none", sameName: true, one: []string{key1}, drop1: "unsigned", drop2: "key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			one := lab.New(t, append(tt.one, lab.Fast...)...)
			two := one.Beside(t, append(tt.two, lab.Fast...)...)
			if tt.sameName {
				two.Name = one.Name
			}
			for _, name := range []string{"a", "b"} {
				one.Start(name)
				two.Start(name)
			}
			m1, m2 := one.Settled(soon), two.Settled(soon)
			for _, m := range []struct {
				i    *lab.Instance
				drop string
			}{{m1, tt.drop1}, {m2, tt.drop2}} {
				s := m.i.WaitStatus("counts the other's packets as "+m.drop, soon, func(s admin.Status) bool {
					return s.Packets != nil && s.Packets.Dropped[m.drop] >= 10
				})
				if len(s.Peers) != 1 {
					t.Errorf("%d peers, want 1: %+v", len(s.Peers), s.Peers)
				}
			}
			if n := one.Promotions() + two.Promotions(); n != 2 {
				t.Errorf("%d promotions, want 2", n)
			}
		})
	}
}
