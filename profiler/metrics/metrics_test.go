package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func newProfiler(t *testing.T) *profiler.Profiler {
	t.Helper()
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ended(s *profiler.Step, phase profiler.Phase, took time.Duration) profiler.Event {
	return profiler.Event{ID: "m", Step: s, Phase: phase, Took: took, Order: 1}
}

func TestRows(t *testing.T) {
	p, pr := New(), newProfiler(t)
	a, same, b := pr.Service("a"), pr.Service("a"), pr.Service("a", profiler.Instance("2"))
	w := pr.Workflow("w")
	p.Observe([]profiler.Event{
		ended(a, profiler.Started, 0), ended(a, profiler.Completed, time.Millisecond), ended(same, profiler.Failed, time.Millisecond+1),
		ended(b, profiler.Completed, time.Hour), ended(w, profiler.Panicked, 0), ended(w, 99, 0),
	})
	p.Lost(3)
	rows, lost := p.Rows()
	if len(rows) != 3 || lost != 3 {
		t.Fatalf("%d rows, %d lost, want 3 and 3", len(rows), lost)
	}
	if r := rows[0]; r.Kind != profiler.Workflow || r.Ended != [6]uint64{profiler.Panicked: 1} || r.Classes[0] != 1 {
		t.Errorf("workflow: %+v", r)
	}
	if r := rows[1]; r.Name != "a" || r.Ended != [6]uint64{profiler.Completed: 1, profiler.Failed: 1} || r.Took != 2*time.Millisecond+1 ||
		r.Classes[2] != 1 || r.Classes[3] != 1 {
		t.Errorf("a: %+v", r)
	}
	if r := rows[2]; r.Instance != "2" || r.Classes[len(Bounds())] != 1 {
		t.Errorf("a, instance 2: %+v", r)
	}
}

// Names that come from outside do not fill the memory.
func TestBound(t *testing.T) {
	p, pr := New(), newProfiler(t)
	for i := range 2 * MaxSteps {
		p.Observe([]profiler.Event{ended(pr.Service(fmt.Sprint(i)), profiler.Completed, 0)})
	}
	rows, _ := p.Rows()
	other := rows[len(rows)-1]
	if len(rows) != MaxSteps+1 || other.Name != Other || other.Ended[profiler.Completed] != MaxSteps {
		t.Errorf("%d rows, the last %+v", len(rows), other)
	}
}

func TestWriteTo(t *testing.T) {
	p, pr := New(), newProfiler(t)
	p.Observe([]profiler.Event{ended(pr.Producer("a\"\\\n\xff"), profiler.Completed, 7*time.Millisecond), ended(pr.Producer("b"), profiler.Failed, 20*time.Second)})
	var b bytes.Buffer
	n, err := p.WriteTo(&b)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	text := b.String()
	for _, want := range []string{
		"# TYPE interlok_ha_steps_total counter\n",
		`interlok_ha_steps_total{kind="producer",step="a\"\\\n` + "\ufffd" + `",instance="",phase="completed"} 1` + "\n",
		`interlok_ha_steps_total{kind="producer",step="b",instance="",phase="failed"} 1` + "\n",
		`interlok_ha_step_seconds_bucket{kind="producer",step="b",instance="",le="10"} 0` + "\n",
		`interlok_ha_step_seconds_bucket{kind="producer",step="b",instance="",le="+Inf"} 1` + "\n",
		`interlok_ha_step_seconds_sum{kind="producer",step="b",instance=""} 20` + "\n",
		`interlok_ha_step_seconds_count{kind="producer",step="b",instance=""} 1` + "\n",
		"interlok_ha_step_events_lost_total 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A run of the profiler ends in the plugin.
func ExamplePlugin() {
	counts := New()
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{counts}})
	if err != nil {
		panic(err)
	}
	counts.Observe([]profiler.Event{{ID: "m-1", Step: p.Service("validate"), Phase: profiler.Completed, Took: time.Millisecond}})
	rows, _ := counts.Rows()
	fmt.Println(rows[0].Kind, rows[0].Name, rows[0].Ended[profiler.Completed], rows[0].Took)
	// Output: SERVICE validate 1 1ms
}
