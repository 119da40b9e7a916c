package node

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
)

// What happens to the cache is told with the name of whom it is about, though
// most events of the cache have only an id.
func TestCacheEventsHaveNames(t *testing.T) {
	var log bytes.Buffer
	s := &config.Settings{}
	s.Name = "me"
	n := &Node{
		s: s, id: [16]byte{9}, o: Options{Log: zerolog.New(&log)}, feed: newFeed("me", time.Now()),
		missed: map[string]bool{}, cacheNames: map[cache.InstanceID]string{},
	}
	heard := n.feed.out.Subscribe(t.Context())
	<-heard // the present state
	a, b := cache.InstanceID{1}, cache.InstanceID{2}
	n.tellCache(cache.Event{Type: cache.EventMember, Peer: a, Name: "a"})
	n.tellCache(cache.Event{Type: cache.EventConnected, Peer: b, Name: "b"})
	n.tellCache(cache.Event{Type: cache.EventBroken, Peer: a})
	n.tellCache(cache.Event{Type: cache.EventResync, Peer: b})
	n.tellCache(cache.Event{Type: cache.EventOrphans, Peer: cache.InstanceID(n.id)})
	n.tellCache(cache.Event{Type: cache.EventAlone})
	n.tellCache(cache.Event{Type: cache.EventMemberGone, Peer: a})
	for _, want := range []string{"cache.connected b", "cache.broken a", "cache.resync b", "cache.orphans me", "cache.alone "} {
		if e := <-heard; e.Type+" "+e.Peer != want {
			t.Errorf("told %s %s, want %s", e.Type, e.Peer, want)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 7 || !strings.Contains(lines[2], `"peer":"a"`) || !strings.Contains(lines[6], `"name":"a"`) {
		t.Errorf("logged:\n%s", log.String())
	}
	if len(n.cacheNames) != 1 {
		t.Errorf("remembers %v, want b alone", n.cacheNames)
	}
}
