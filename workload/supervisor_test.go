package workload

import (
	"errors"
	"io/fs"
	"testing"
	"time"
)

func TestSupervisor(t *testing.T) {
	s := time.Second
	ok := Result{Cause: CauseExited}
	fail := Result{Cause: CauseExited, Code: 3}
	killed := Result{Cause: CauseExited, Code: 137, Signal: 9}
	restart := func(after time.Duration) Decision { return Decision{Action: ActionRestart, After: after} }
	goodbye := func(code int) Decision { return Decision{Action: ActionGoodbye, Code: code} }
	resign := Decision{Action: ActionResign, NoClaimFor: 60 * s}
	type step struct {
		at     time.Duration
		result Result
		want   Decision
	}
	for _, tt := range []struct {
		name   string
		change func(*Policy)
		steps  []step
	}{
		{"a clean exit is a goodbye", nil, []step{{0, ok, goodbye(0)}}},
		{"failures: delays double, the fourth resigns, then a new start", nil, []step{
			{0, fail, restart(s)}, {2 * s, fail, restart(2 * s)}, {5 * s, killed, restart(4 * s)}, {10 * s, fail, resign},
			{80 * s, fail, restart(s)},
		}},
		{"failures apart are not counted together", nil, []step{
			{0, fail, restart(s)}, {30 * s, fail, restart(2 * s)}, {60 * s, fail, restart(4 * s)}, {90 * s, fail, restart(8 * s)},
			{91 * s, fail, restart(16 * s)}, {92 * s, fail, resign}, // with those of 60, 90 and 91 s
		}},
		{"exactly a window apart", func(p *Policy) { p.Limit = 1 }, []step{{0, fail, restart(s)}, {60 * s, fail, restart(2 * s)}}},
		{"a nanosecond less", func(p *Policy) { p.Limit = 1 }, []step{{0, fail, restart(s)}, {60*s - 1, fail, resign}}},
		{"a run of a whole window sets the delay back", nil, []step{
			{0, fail, restart(s)}, {2 * s, fail, restart(2 * s)}, {64 * s, fail, restart(s)},
		}},
		{"the delay ends at 30 s", func(p *Policy) { p.Limit = 100 }, []step{
			{0, fail, restart(s)}, {0, fail, restart(2 * s)}, {0, fail, restart(4 * s)}, {0, fail, restart(8 * s)},
			{0, fail, restart(16 * s)}, {0, fail, restart(30 * s)}, {0, fail, restart(30 * s)},
		}},
		{"a delay above 30 s is cut", func(p *Policy) { p.Delay = time.Hour }, []step{{0, fail, restart(30 * s)}}},
		{"no delay", func(p *Policy) { p.Delay = 0 }, []step{{0, fail, restart(0)}, {0, fail, restart(0)}}},
		{"limit 0", func(p *Policy) { p.Limit = 0 }, []step{{0, fail, resign}}},
		{"no restart", func(p *Policy) { p.Restart = RestartNo }, []step{{0, ok, goodbye(0)}, {0, fail, goodbye(3)}, {0, killed, goodbye(137)}}},
		{"always", func(p *Policy) { p.Restart = RestartAlways }, []step{
			{0, ok, restart(s)}, {s, ok, restart(2 * s)}, {3 * s, ok, restart(4 * s)}, {7 * s, ok, restart(8 * s)},
			{8 * s, fail, restart(16 * s)}, {9 * s, fail, restart(30 * s)}, {10 * s, fail, restart(30 * s)}, {11 * s, fail, resign},
		}},
		{"what could not be started is a failure", nil, []step{{0, FailedStart(fs.ErrNotExist), restart(s)}}},
		{"what could not be started, no restart", func(p *Policy) { p.Restart = RestartNo }, []step{
			{0, FailedStart(fs.ErrNotExist), goodbye(127)}, {0, FailedStart(errors.New("x")), goodbye(126)},
		}},
		{"a lost keeper is a failure", nil, []step{{0, Result{Cause: CauseKeeperLost, Code: 137}, restart(s)}}},
		{"the node's own wish is none", func(p *Policy) { p.Limit = 0 }, []step{
			{0, Result{Cause: CauseStopped}, Decision{}}, {0, Result{Cause: CauseKilled, Code: 137}, Decision{}},
			{0, Result{Cause: CauseExpired}, Decision{}}, {0, Result{}, Decision{}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := DefaultPolicy()
			if tt.change != nil {
				tt.change(&p)
			}
			sup, err := NewSupervisor(p)
			if err != nil {
				t.Fatal(err)
			}
			for i, step := range tt.steps {
				if got := sup.Next(step.at, step.result); got != step.want {
					t.Fatalf("step %d at %v, %v: %+v, want %+v", i, step.at, step.result, got, step.want)
				}
			}
		})
	}
}

func TestPolicyFaults(t *testing.T) {
	_, err := NewSupervisor(Policy{Restart: "sometimes", Delay: -1, Limit: -1})
	if joined, ok := errors.Unwrap(err).(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("faults = %v, want four", err)
	}
}
