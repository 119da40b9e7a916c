//go:build linux

package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"time"
)

// Sizes of the plot, in its own units.
const (
	plotWide  = 920
	plotLeft  = 300 // names
	plotRight = 630 // end of the take-over scale; two at once beyond it
	plotRow   = 17
	plotTop   = 64
	plotHead  = 26 // above each fault
)

// plot draws every trial as a dot on a scale of take-over times, the median as
// a bar; and beside it for how long two acted at once.
func plot(h header, all []*trial, m map[[2]string]*cell) []byte {
	list := used(all)
	high := plotTop + len(faults)*(plotHead+len(list)*plotRow) + 46
	var out bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	text := func(x, y int, class, anchor, s string) {
		p(`<text x="%d" y="%d" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
	}
	// Logarithmic: 1 ms to 30 s.
	x := func(d time.Duration) float64 {
		lo, hi := math.Log10(1), math.Log10(30_000)
		v := math.Log10(max(1, min(30_000, float64(d)/float64(time.Millisecond))))
		return plotLeft + (v-lo)/(hi-lo)*(plotRight-plotLeft)
	}
	p(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="take-over times">`, plotWide, high)
	p(`<style>.h{font-weight:bold;font-size:13px}.t{font-weight:bold;font-size:16px}.s{fill:#666;font-size:11px}.o{font-weight:bold}.n{fill:#333}</style>`)
	p(`<rect width="%d" height="%d" fill="#fff"/>`, plotWide, high)
	text(12, 24, "t", "start", "From the fault to the next master's first act")
	text(12, 42, "s", "start", fmt.Sprintf("each dot a run, the bar their median; commit %s, %d runs each, load %s", h.commit, h.runs, h.loadBefore))
	text(plotRight+34, 42, "s", "end", "ms")
	text(plotRight+40, 42, "s", "start", "two at once, ms: median, most")
	bottom := high - 40
	for _, mark := range []struct {
		at   time.Duration
		text string
	}{{time.Millisecond, "1 ms"}, {10 * time.Millisecond, "10 ms"}, {100 * time.Millisecond, "0.1 s"}, {time.Second, "1 s"}, {10 * time.Second, "10 s"}} {
		p(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/>`, x(mark.at), x(mark.at), plotTop, bottom)
		text(int(x(mark.at)), bottom+16, "s", "middle", mark.text)
	}
	y := plotTop
	for _, f := range faults {
		text(12, y+17, "h", "start", f.name)
		y += plotHead
		for _, c := range list {
			class, colour := "n", "#7a8ca5"
			if c.ours {
				class, colour = "o", "#d9480f"
			}
			mid := y + plotRow/2
			text(plotLeft-10, mid+4, class, "end", c.name+", "+c.settings)
			for _, t := range all {
				if t.c.slug == c.slug && t.f.name == f.name && t.err == nil && !t.never {
					p(`<circle cx="%.1f" cy="%d" r="3" fill="%s" fill-opacity="0.35"/>`, x(t.took), mid, colour)
				}
			}
			if k := m[[2]string{c.slug, f.name}]; k != nil {
				drawCell(p, text, x, k, mid, colour)
			}
			y += plotRow
		}
	}
	p(`</svg>`)
	return out.Bytes()
}

// drawCell draws what is not a single run: the median, and the column beside.
func drawCell(p func(string, ...any), text func(x, y int, class, anchor, s string), x func(time.Duration) float64, k *cell, mid int, colour string) {
	if len(k.took) == 0 {
		text(plotLeft+4, mid+4, "s", "start", "never, or not measured")
		return
	}
	at := x(k.took.median())
	p(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="2.5"/>`, at, at, mid-6, mid+6, colour)
	text(plotRight+34, mid+4, "s", "end", ms(k.took.median()))
	if k.together.most() == 0 {
		text(plotRight+40, mid+4, "s", "start", "0")
		return
	}
	// One second is 12 units, 10 s the most that is drawn.
	wide := min(120, 12*k.together.median().Seconds())
	p(`<rect x="%d" y="%d" width="%.1f" height="9" fill="#c92a2a" fill-opacity="0.6"/>`, plotRight+40, mid-5, max(1, wide))
	s := ms(k.together.median()) + ", " + ms(k.together.most())
	if k.still > 0 {
		s += " and on"
	}
	text(plotRight+46+int(wide), mid+4, "s", "start", s)
}
