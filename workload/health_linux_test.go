package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealthVerdicts(t *testing.T) {
	bad := errors.New("bad")
	for _, tt := range []struct {
		name   string
		checks string   // g good, b bad, h hangs until the timeout; one per second
		want   []string // when, and the verdict
	}{
		{"good", "ggg", []string{"0s true"}},
		{"bad from the start", "bbbb", []string{"2s false"}},
		{"not enough in a row", "gbbgbbg", []string{"0s true"}},
		{"falls and heals", "gbbbbgg", []string{"0s true", "3s false", "5s true"}},
		{"hangs", "ghhh", []string{"0s true", "4s false"}}, // each at its own second, the last for another
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				var got []string
				i := 0
				h := &Health{cfg: HealthConfig{Interval: time.Second, Timeout: time.Second, Failures: 3,
					OnChange: func(v Verdict) {
						if v.Healthy == (v.Reason != nil) {
							t.Errorf("healthy %v with reason %v", v.Healthy, v.Reason)
						}
						got = append(got, fmt.Sprint(time.Since(start), " ", v.Healthy))
					}},
					check: func(ctx context.Context) error {
						if i == len(tt.checks) {
							cancel()
							return bad
						}
						i++
						switch tt.checks[i-1] {
						case 'b':
							return bad
						case 'h':
							<-ctx.Done()
							return ctx.Err()
						}
						return nil
					}}
				if err := h.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("verdicts %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestHealthCommand(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   string // part of the error; empty = healthy
	}{
		{"exit 0", ""},
		{"echo it is late >&2; exit 3", `exit status 3: "it is late"`},
		{"sleep 60", "deadline exceeded"},
		{"trap '' TERM; sleep 60 & sleep 60", "deadline exceeded"},
		{"sleep 60 & exit 0", ""}, // what it left is killed, and nobody waits for it
		{"while :; do echo flood flood flood; done", `deadline exceeded: "flood`},
		{"kill -KILL $$", "signal: killed"},
	} {
		t.Run(tt.script, func(t *testing.T) {
			var before, after procTable // other tests may have left dead ones
			if err := before.scan(); err != nil {
				t.Fatal(err)
			}
			cfg := DefaultHealthConfig()
			cfg.Command, cfg.Env = shell(tt.script), os.Environ()
			check, err := newCheck(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if tt.want == "" {
				ctx = t.Context() // no clock decides what is to be healthy
			}
			err = check(ctx)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("check: %v, want %q", err, tt.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if err := after.scan(); err != nil {
				t.Fatal(err)
			}
			for _, p := range after.procs {
				if was, ok := before.find(p.pid); p.ppid == os.Getpid() && (!ok || was.start != p.start) {
					t.Errorf("a child is left: %+v", p)
				}
			}
		})
	}
}

func TestNewHealthFaults(t *testing.T) {
	if _, err := NewHealth(HealthConfig{}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("error = %v, want four faults", err)
	}
	cfg := DefaultHealthConfig()
	cfg.Command = []string{"/no/such/check"}
	if _, err := NewHealth(cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want no such file", err)
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 77 9 9\n"
	want := proc{pid: 1, ppid: 2, group: 3, session: 4, state: 'S', start: 77}
	for _, name := range []string{"sh", "a b", "x) R 9 9 9 (", ")", ""} {
		if got, ok := parseStat(1, []byte("1 ("+name+")"+tail)); !ok || got != want {
			t.Errorf("name %q: %+v, %v", name, got, ok)
		}
	}
	for _, line := range []string{"", "1", "1 (sh)", "1 (sh) S", "1 (sh) S 2 3"} {
		if got, ok := parseStat(1, []byte(line)); ok {
			t.Errorf("%q: %+v, want none", line, got)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	var table procTable
	if err := table.scan(); err != nil {
		t.Fatal(err)
	}
	if me, ok := table.find(os.Getpid()); !ok || me.ppid != os.Getppid() {
		t.Errorf("the scan shows %+v for this process", me)
	}
	table.procs = slices.Grow(table.procs, 1000) // others may start meanwhile
	if n := testing.AllocsPerRun(20, func() { _ = table.scan() }); n > 0 {
		t.Errorf("%v allocations per scan", n)
	}
}
