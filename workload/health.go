package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// HealthConfig says how the workload is checked.
type HealthConfig struct {
	// Command is the check and its arguments, as SplitCommand cuts them: exit
	// status 0 means healthy.
	Command []string
	// Env is the whole environment of the check.
	Env []string
	// Dir is its working directory; empty means the node's.
	Dir string
	// Interval is the time from one check's start to the next's; a check that
	// takes longer delays the next.
	Interval time.Duration
	// Timeout ends a check, as a failure. Its process group is killed.
	Timeout time.Duration
	// Failures in a row make the workload unhealthy; one success heals it.
	Failures int
	// OnChange hears each change of the verdict, the first one included. It is
	// called by Run's goroutine, which checks nothing meanwhile.
	OnChange func(Verdict)
	// Log gets each failed check, at debug level.
	Log zerolog.Logger
}

// DefaultHealthConfig returns the defaults, without a Command: every 5 s, for
// at most 5 s, three failures in a row.
func DefaultHealthConfig() HealthConfig {
	return HealthConfig{Interval: 5 * time.Second, Timeout: 5 * time.Second, Failures: 3}
}

func (c HealthConfig) validate() error {
	var faults []error
	if len(c.Command) == 0 || c.Command[0] == "" {
		faults = append(faults, errors.New("command: none given"))
	}
	if c.Interval <= 0 {
		faults = append(faults, fmt.Errorf("interval: %v is not positive", c.Interval))
	}
	if c.Timeout <= 0 {
		faults = append(faults, fmt.Errorf("timeout: %v is not positive", c.Timeout))
	}
	if c.Failures <= 0 {
		faults = append(faults, fmt.Errorf("failures: %d is not positive", c.Failures))
	}
	return errors.Join(faults...)
}

// Verdict is what the checks say.
type Verdict struct {
	Healthy bool
	Reason  error // the last failure, when not healthy
}

// Health runs the health command and tells when the verdict changes. Before
// the first success, or enough failures in a row, there is no verdict.
type Health struct {
	cfg   HealthConfig
	check func(context.Context) error // tests put their own here
}

// NewHealth returns a Health to be Run.
func NewHealth(cfg HealthConfig) (*Health, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	check, err := newCheck(cfg)
	if err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	return &Health{cfg: cfg, check: check}, nil
}

// Run checks until ctx is cancelled, which is not an error; a check that runs
// then is killed and does not count.
func (h *Health) Run(ctx context.Context) error {
	tick := time.NewTicker(h.cfg.Interval)
	defer tick.Stop()
	var verdict *Verdict
	failures := 0
	tell := func(v Verdict) {
		if verdict == nil || verdict.Healthy != v.Healthy {
			verdict = &v
			if h.cfg.OnChange != nil {
				h.cfg.OnChange(v)
			}
		}
	}
	for {
		once, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
		err := h.check(once)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			failures = 0
			tell(Verdict{Healthy: true})
		} else {
			failures++
			h.cfg.Log.Debug().Err(err).Int("inARow", failures).Msg("Health check failed")
			if failures >= h.cfg.Failures {
				tell(Verdict{Reason: err})
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// head keeps the first bytes that are written to it and forgets the rest, so
// that a check's flood of output costs nothing.
type head struct{ kept []byte }

const headSize = 4 << 10

func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), headSize-len(h.kept))]...)
	return len(b), nil
}
