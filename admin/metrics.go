package admin

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Metrics is an answer in the Prometheus text format, while it is written: a
// family, then its samples, then the next family. The zero value is empty. Names
// and labels are the caller's own words and are not checked; values of labels
// may be anything.
type Metrics struct {
	text []byte
	name string // of the family
}

// metricsPrefix begins every name.
const metricsPrefix = "interlok_ha_"

// MetricsType is the Content-Type of the text format.
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// Gauge begins a family of values that go up and down. The name has no prefix,
// and its unit at the end.
func (m *Metrics) Gauge(name, help string) { m.family(name, help, "gauge") }

// Counter begins a family of values that only grow while the instance lives. The
// name ends in _total.
func (m *Metrics) Counter(name, help string) { m.family(name, help, "counter") }

func (m *Metrics) family(name, help, kind string) {
	m.name = metricsPrefix + name
	help = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)
	m.text = append(m.text, "# HELP "+m.name+" "+help+"\n# TYPE "+m.name+" "+kind+"\n"...)
}

// Value adds a sample to the family. labels are names and values, by turns; no
// two samples of a family have the same.
func (m *Metrics) Value(v float64, labels ...string) {
	m.text = append(m.text, m.name...)
	for i := 0; i+1 < len(labels); i += 2 {
		m.text = append(m.text, ",{"[b2i(i == 0)])
		m.text = append(m.text, labels[i]+`="`+labelEscaper.Replace(strings.ToValidUTF8(labels[i+1], string(utf8.RuneError)))+`"`...)
	}
	if len(labels) > 1 {
		m.text = append(m.text, '}')
	}
	m.text = append(m.text, ' ')
	switch {
	case math.IsInf(v, 1):
		m.text = append(m.text, "+Inf"...)
	default:
		m.text = strconv.AppendFloat(m.text, v, 'g', -1, 64) // -Inf and NaN are written so
	}
	m.text = append(m.text, '\n')
}

// Flag adds a sample that is 1 or 0.
func (m *Metrics) Flag(on bool, labels ...string) { m.Value(float64(b2i(on)), labels...) }

// Write adds text that is in the format already, whole families of other names.
func (m *Metrics) Write(p []byte) (int, error) {
	m.text = append(m.text, p...)
	return len(p), nil
}

// String is the text so far.
func (m *Metrics) String() string { return string(m.text) }

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
