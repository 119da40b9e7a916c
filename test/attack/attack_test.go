//go:build linux

package attack

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var floods = flag.Bool("attack", false, "also flood the group, 100,000 packets a second, for some seconds each")

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// attacker is a row of the table.
type attacker struct {
	name string
	at   site
	// shows is the sample of the master's /metrics that tells of it: it grows by
	// one for each of half of what was sent at least. A name without labels
	// stands for the sum over all.
	shows string
	// prepare, if any, is done before anything is compared.
	prepare func(t *testing.T, v *victim)
	// strike attacks, and returns how often; the kernel may lose half of it.
	strike func(t *testing.T, v *victim) int
	// raises: the epoch of the master grows, in place, and with it the token of
	// its command.
	raises bool
	// flood: only with -attack.
	flood bool
}

// attackers is the table. Rows of one site strike one cluster, one by one.
var attackers = []attacker{
	{name: "noise", at: keyed, shows: dropped("magic"), strike: noise},
	{name: "forged", at: keyed, shows: dropped("forged"), strike: forged},
	{name: "unsigned", at: keyed, shows: dropped("unsigned"), strike: signedBy(nil)},
	{name: "wrong key", at: keyed, shows: dropped("key"), strike: signedBy(&strangerKey)},
	{name: "other cluster", at: keyed, shows: dropped("cluster"), strike: otherCluster},
	{name: "truncated", at: keyed, shows: dropped("length"), strike: truncated},
	{name: "oversized", at: keyed, shows: dropped("length"), strike: oversized},
	{name: "replayed", at: keyed, shows: dropped("duplicate"), strike: replayed},
	{name: "epoch out of range, with the key", at: keyed, shows: dropped("field"), strike: impossibleEpoch},
	{name: "gossip bombs at a cluster with a key", at: keyed, shows: "interlok_ha_cache_refused_total", strike: gossipBombs},
	{name: "symlink in the place of the socket", at: keyed, strike: symlink},
	{name: "key file that others can read", at: keyed, shows: `interlok_ha_reloads_total{result="failed"}`, strike: openKeyFile},
	{name: "recording, after a restart", at: keyed, shows: `interlok_ha_events_total{type="conflict"}`, prepare: restartAll, strike: playBack},
	{name: "old key", at: keyed, shows: dropped("key"), prepare: changeKey, strike: signedBy(&oldKey)},
	{name: "absurd epoch, with the key", at: keyed, shows: `interlok_ha_events_total{type="epoch.jump"}`, strike: absurdEpoch, raises: true},

	{name: "gossip bombs at a cluster without a key", at: open, shows: "interlok_ha_cache_refused_total", strike: gossipBombs},
	{name: "invented instances", at: open, shows: dropped("flood"), strike: invented},
	{name: "shell and control characters in names", at: open, shows: dropped("field"), strike: oddNames},
	{name: "shell characters in messages", at: open, shows: "interlok_ha_hooks_events_total", strike: oddMessages},

	{name: "slow-loris", at: apiSlow, shows: `interlok_ha_admin_connections_dropped_total{cause="no-request"}`, strike: slowLoris},
	{name: "body of 1 GiB, with the token", at: api, shows: `interlok_ha_admin_requests_total{code="413"}`, strike: hugeBody(true)},
	{name: "body of 1 GiB, without", at: api, shows: `interlok_ha_admin_rejected_total{cause="token"}`, strike: hugeBody(false)},
	{name: "headers without end", at: api, shows: `interlok_ha_admin_connections_dropped_total{cause="no-request"}`, strike: endlessHeader},
	{name: "DNS rebinding", at: apiAuth, shows: `interlok_ha_admin_rejected_total{cause="host"}`, strike: rebinding},
	{name: "cross-site requests", at: apiAuth, shows: `interlok_ha_admin_rejected_total{cause="cross-site"}`, strike: crossSite},
	{name: "guessed tokens", at: apiAuth, shows: `interlok_ha_admin_rejected_total{cause="token"}`, strike: guesses},
	{name: "all of HTTP at once", at: api, shows: "interlok_ha_admin_rejected_total", strike: together},
	{name: "old token", at: apiAuth, shows: `interlok_ha_admin_rejected_total{cause="token"}`, prepare: changeToken, strike: oldToken},

	{name: "flood of noise", at: keyed, shows: dropped("magic"), strike: flooding(noisePacket), flood: true},
	{name: "flood of forgeries", at: keyed, shows: dropped("forged"), strike: flooding(forgedPacket), flood: true},
	{name: "flood of replays", at: keyed, shows: dropped("duplicate"), strike: flooding(replayedPacket), flood: true},
}

func dropped(cause string) string {
	return `interlok_ha_heartbeats_dropped_total{cause="` + cause + `"}`
}

func TestAttackers(t *testing.T) {
	for _, s := range []site{keyed, open, api, apiAuth, apiSlow} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, s)
			for _, a := range attackers {
				if a.at == s && (!a.flood || *floods) {
					t.Run(a.name, func(t *testing.T) { v.suffers(t, a) })
				}
			}
		})
	}
}

// SECURITY.md tells of each row, and by what it is seen.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(b)))
	for _, a := range attackers {
		shows := strings.TrimPrefix(a.shows, "interlok_ha_")
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, "| "+a.name+" |") && strings.Contains(l, shows)
		}) {
			t.Errorf("SECURITY.md has no line for %q that names %s", a.name, shows)
		}
	}
}
