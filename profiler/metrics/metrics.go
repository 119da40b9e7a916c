package metrics

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// MaxSteps is how many steps are kept apart; names may come from outside.
const MaxSteps = 1000

// Other is the name under which steps beyond MaxSteps are counted.
const Other = "other"

// Bounds are the upper bounds of the classes of Row.Classes, but the last one's.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 10 * time.Second,
}

// Bounds are the upper bounds, both included, of the classes of durations. What
// took longer is in one more class.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Row is what is known of one step.
type Row struct {
	Kind           profiler.Kind
	Name, Instance string
	// Ended counts the ends by phase: Ended[profiler.Failed].
	Ended [profiler.Exited + 1]uint64
	// Took is the sum of what ended steps took, Classes how many took how long.
	Took    time.Duration
	Classes [len(bounds) + 1]uint64
}

type key struct {
	kind           profiler.Kind
	name, instance string
}

// Plugin counts. Its methods may be called from any goroutine.
type Plugin struct {
	mu   sync.Mutex // guards what follows
	rows map[key]*Row
	last *profiler.Step // and its row: events of one step often follow each other
	row  *Row
	lost uint64
}

var (
	_ profiler.Plugin = (*Plugin)(nil)
	_ profiler.Loser  = (*Plugin)(nil)
)

// New makes the plugin.
func New() *Plugin { return &Plugin{rows: map[key]*Row{}} }

// Observe counts the ends.
func (p *Plugin) Observe(batch []profiler.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch {
		e := &batch[i]
		if e.Phase == profiler.Started || int(e.Phase) >= len(Row{}.Ended) {
			continue
		}
		r := p.of(e.Step)
		r.Ended[e.Phase]++
		r.Took += e.Took
		c := 0
		for c < len(bounds) && e.Took > bounds[c] {
			c++
		}
		r.Classes[c]++
	}
}

// Lost counts events that did not come.
func (p *Plugin) Lost(events uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost += events
}

func (p *Plugin) of(s *profiler.Step) *Row {
	if s == p.last {
		return p.row
	}
	k := key{s.Kind(), s.Name(), s.Instance()}
	r := p.rows[k]
	if r == nil && len(p.rows) >= MaxSteps {
		k = key{s.Kind(), Other, ""}
		r = p.rows[k]
	}
	if r == nil {
		r = &Row{Kind: k.kind, Name: k.name, Instance: k.instance}
		p.rows[k] = r
	}
	p.last, p.row = s, r
	return r
}

// Rows are the steps by kind, name and instance, and how many events did not
// come here.
func (p *Plugin) Rows() (rows []Row, lost uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rows {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
	})
	return rows, p.lost
}
