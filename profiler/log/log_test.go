package log

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestObserve(t *testing.T) {
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Service("validate", profiler.Instance("2"))
	batch := []profiler.Event{
		{ID: "m", Step: s, Phase: profiler.Started, Order: 2, Attempt: 1},
		{ID: "m", Step: s, Phase: profiler.Completed, Order: 2, Attempt: 1, Took: time.Millisecond},
		{ID: "m", Step: p.Producer("publish"), Phase: profiler.Failed, Order: 3, Attempt: 2, Took: time.Second, Detail: &profiler.Detail{Err: "no stock"}},
		{ID: "m", Step: s, Phase: profiler.Panicked}, {ID: "m", Step: s, Phase: profiler.Exited},
	}
	for _, tt := range []struct {
		level zerolog.Level
		want  []string
	}{
		{zerolog.TraceLevel, []string{
			`{"level":"trace","id":"m","kind":"SERVICE","step":"validate","instance":"2","order":2,"attempt":1,"message":"Step started"}`,
			`{"level":"debug","id":"m","kind":"SERVICE","step":"validate","instance":"2","order":2,"attempt":1,"took":1,"message":"Step completed"}`,
			`{"level":"warn","id":"m","kind":"PRODUCER","step":"publish","order":3,"attempt":2,"took":1000,"error":"no stock","message":"Step failed"}`,
			`panicked`, `exited`,
		}},
		{zerolog.InfoLevel, []string{`Step failed`, `Step panicked`, `Step exited`}},
		{zerolog.Disabled, nil},
	} {
		var b bytes.Buffer
		New(zerolog.New(&b).Level(tt.level)).Observe(batch)
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != max(1, len(tt.want)) {
			t.Errorf("%v: %d lines, want %d:\n%s", tt.level, len(lines), len(tt.want), b.String())
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%v: line %s\nwant %s", tt.level, lines[i], want)
			}
		}
	}
}

func ExampleNew() {
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		panic(err)
	}
	plugin := New(zerolog.New(os.Stdout))
	plugin.Observe([]profiler.Event{{ID: "m-1", Step: p.Service("validate"), Phase: profiler.Failed, Order: 2, Attempt: 1, Detail: &profiler.Detail{Err: "no stock"}}})
	// Output: {"level":"warn","id":"m-1","kind":"SERVICE","step":"validate","order":2,"attempt":1,"took":0,"error":"no stock","message":"Step failed"}
}
