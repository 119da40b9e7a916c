package metrics

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Names of what WriteTo writes.
const (
	stepsTotal  = "interlok_ha_steps_total"
	stepSeconds = "interlok_ha_step_seconds"
	lostTotal   = "interlok_ha_step_events_lost_total"
)

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// WriteTo writes the numbers in Prometheus' text format.
func (p *Plugin) WriteTo(w io.Writer) (int64, error) {
	rows, lost := p.Rows()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# HELP %s Steps that ended.\n# TYPE %[1]s counter\n", stepsTotal)
	for i := range rows {
		r := &rows[i]
		for phase := profiler.Completed; phase <= profiler.Exited; phase++ {
			if n := r.Ended[phase]; n > 0 {
				fmt.Fprintf(&b, "%s{%s,phase=\"%v\"} %d\n", stepsTotal, r.labels(), phase, n)
			}
		}
	}
	fmt.Fprintf(&b, "# HELP %s How long steps took.\n# TYPE %[1]s histogram\n", stepSeconds)
	for i := range rows {
		r := &rows[i]
		sum := uint64(0)
		for c, n := range r.Classes {
			sum += n
			le := "+Inf"
			if c < len(bounds) {
				le = seconds(bounds[c])
			}
			fmt.Fprintf(&b, "%s_bucket{%s,le=\"%s\"} %d\n", stepSeconds, r.labels(), le, sum)
		}
		fmt.Fprintf(&b, "%s_sum{%s} %s\n%[1]s_count{%[2]s} %[4]d\n", stepSeconds, r.labels(), seconds(r.Took), sum)
	}
	fmt.Fprintf(&b, "# HELP %s Events of steps that were dropped.\n# TYPE %[1]s counter\n%[1]s %[2]d\n", lostTotal, lost)
	return b.WriteTo(w)
}

func (r *Row) labels() string {
	return fmt.Sprintf(`kind="%s",step="%s",instance="%s"`,
		strings.ToLower(r.Kind.String()), escape.Replace(strings.ToValidUTF8(r.Name, "\ufffd")), escape.Replace(strings.ToValidUTF8(r.Instance, "\ufffd")))
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) }
