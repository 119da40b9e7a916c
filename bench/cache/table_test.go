//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// table is printed for people, and kept as markdown.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

func (b *table) row(cells ...string) {
	for len(cells) < len(b.head) {
		cells = append(cells, "")
	}
	b.rows = append(b.rows, cells)
}

func (b *table) print(t testing.TB, name string) {
	t.Helper()
	wide := make([]int, len(b.head))
	for _, r := range append([][]string{b.head}, b.rows...) {
		for i, c := range r {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	var text, md strings.Builder
	line := func(cells []string) {
		md.WriteString("|")
		for i, c := range cells {
			fmt.Fprintf(&text, "%s%s  ", c, strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c)))
			fmt.Fprintf(&md, " %s |", c)
		}
		text.WriteString("\n")
		md.WriteString("\n")
	}
	fmt.Fprintf(&md, "## %s\n\n%s\n\n", b.title, b.note)
	line(b.head)
	md.WriteString("|" + strings.Repeat("---|", len(b.head)) + "\n")
	for _, r := range b.rows {
		line(r)
	}
	fmt.Printf("\n%s. %s\n\n%s\n", b.title, b.note, text.String())
	if *results != "" {
		if err := os.WriteFile(filepath.Join(*results, name+".md"), []byte(md.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// amount is a number with three figures at least, and commas.
func amount(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
