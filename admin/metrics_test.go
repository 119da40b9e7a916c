package admin

import (
	"math"
	"testing"
)

func TestMetricsText(t *testing.T) {
	var m Metrics
	m.Gauge("up", "Is it \\ up?\nReally")
	m.Flag(true)
	m.Flag(false, "a", "b", "c", "d\"\\\n\xff")
	m.Counter("seconds_total", "s")
	m.Value(math.Inf(1))
	m.Value(math.Inf(-1), "of", "")
	m.Value(1e21, "of", "ä")
	m.Value(12345678, "of", "c")
	if n, err := m.Write([]byte("more 1\n")); n != 7 || err != nil {
		t.Error(n, err)
	}
	const want = `# HELP interlok_ha_up Is it \\ up?\nReally
# TYPE interlok_ha_up gauge
interlok_ha_up 1
interlok_ha_up{a="b",c="d\"\\\n` + "\ufffd" + `"} 0
# HELP interlok_ha_seconds_total s
# TYPE interlok_ha_seconds_total counter
interlok_ha_seconds_total +Inf
interlok_ha_seconds_total{of=""} -Inf
interlok_ha_seconds_total{of="ä"} 1e+21
interlok_ha_seconds_total{of="c"} 1.2345678e+07
more 1
`
	if got := m.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
