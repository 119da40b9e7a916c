package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// print writes data as --output says; table writes it for people.
func (a *app) print(v any, table func(io.Writer, style)) error {
	switch a.output {
	case "json":
		b, err := jsonOf(v, "  ")
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	case "yaml":
		b, err := yamlOf(v)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	}
	var b bytes.Buffer
	table(&b, a.styleOf(a.stdout))
	_, err := a.stdout.Write(b.Bytes())
	return err
}

func jsonOf(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write json: %w", err)
	}
	return b.Bytes(), nil
}

// yamlOf has the names and the order of the JSON: it is made from it.
func yamlOf(v any) ([]byte, error) {
	j, err := jsonOf(v, "")
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(j, &doc); err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	plain(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	return b.Bytes(), nil
}

// plain takes JSON's braces and quotes away where YAML needs none.
func plain(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// style colours words, or leaves them.
type style bool

func (s style) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) faint(text string) string  { return s.paint("2", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }

// styleOf says whether w is a terminal that wants colours.
func (a *app) styleOf(w io.Writer) style {
	if a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return false
	}
	return style(isTerminal(w))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// cell is a word of a table with the colour it is painted in.
type cell struct {
	text  string
	paint func(string) string // nil: none
	right bool                // set against the right edge
	long  bool                // does not widen the column beyond longText
}

// longText is what a key may do to a table's width. A longer one moves only the
// rest of its own line: cut short, it could not be copied.
const longText = 40

// table writes rows under a head, two spaces between the columns. The first
// row decides the number of columns.
func table(w io.Writer, s style, head []cell, rows [][]cell) {
	width := make([]int, len(head))
	for _, row := range append([][]cell{head}, rows...) {
		for i, c := range row {
			if n := utf8.RuneCountInString(c.text); !c.long || n <= longText {
				width[i] = max(width[i], n)
			}
		}
	}
	for i := range head {
		head[i].paint = s.faint
	}
	for _, row := range append([][]cell{head}, rows...) {
		var b strings.Builder
		gap := 0 // spaces owed; those at the end of a line are never paid
		for i, c := range row {
			pad := max(0, width[i]-utf8.RuneCountInString(c.text))
			if c.right {
				gap += pad
			}
			if c.text != "" {
				b.WriteString(strings.Repeat(" ", gap))
				gap = 0
				if c.paint != nil {
					b.WriteString(c.paint(c.text))
				} else {
					b.WriteString(c.text)
				}
			}
			if !c.right {
				gap += pad
			}
			gap += 2
		}
		printLine(w, b.String())
	}
}

// printLine writes one line. Names and details come from the network: what
// could move the cursor or begin another line is shown as a mark.
func printLine(w io.Writer, text string) {
	fmt.Fprintln(w, safe(text))
}

// safe replaces all that is not printable, but for our own colours.
func safe(text string) string {
	var b strings.Builder
	for text != "" {
		if n := len(ownColour.FindString(text)); n > 0 {
			b.WriteString(text[:n])
			text = text[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
		text = text[n:]
	}
	return b.String()
}

var ownColour = regexp.MustCompile(`^\x1b\[(0|1|2|31|32|33)m`)
