package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) cacheGetVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get KEY [--cache NAME] [--orphan]",
		Short: "Show one entry",
		Long: `Show one entry. To a file or a pipe its value goes as it is, byte for byte. On a
terminal a message is described, any other value is printed with what could
move the cursor escaped. With -o table an entry is always described.`,
		Args: oneKey,
	}
	t := a.cacheFlags(cmd)
	var orphan bool
	cmd.Flags().BoolVar(&orphan, "orphan", false, "what a deposed master left under KEY, the newest if there are several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, name, err := a.openCache(cmd.Context(), t)
		if err != nil {
			return err
		}
		item, err := c.CacheGet(cmd.Context(), name, args[0], orphan)
		if err != nil {
			return err
		}
		value, err := item.RawValue()
		if err != nil {
			return err
		}
		asked := cmd.Flag("output").Changed // -o table was written
		switch {
		case a.output == "table" && !asked && !isTerminal(a.stdout):
			_, err = a.stdout.Write(value)
			return err
		case a.output == "table" && !asked && item.Message == nil:
			if _, err := io.WriteString(a.stdout, valueText(value)); err != nil {
				return err
			}
			printLine(a.stderr, a.styleOf(a.stderr).faint(strings.Join(entryTexts(item), ", ")))
			return nil
		}
		return a.print(item, func(w io.Writer, st style) { itemTable(w, st, item, value) })
	}
	return cmd
}

// itemTable describes an entry.
func itemTable(w io.Writer, st style, i admin.CacheItem, value []byte) {
	line := func(label, text string) { printLine(w, st.faint(fmt.Sprintf("%-*s", labelWidth, label))+text) }
	line("key", st.bold(keyText(rawKey(i.Key, i.KeyEncoding))))
	if m := i.Message; m != nil {
		if m.ID != rawKey(i.Key, i.KeyEncoding) {
			line("message", wordText(m.ID))
		}
		state := m.State
		if paint := statePaint(st, m.State); paint != nil {
			state = paint(state)
		}
		if m.Attempts > 0 {
			state += ", attempt " + strconv.FormatUint(uint64(m.Attempts), 10)
		}
		line("state", state)
		line("workflow", wordText(m.Workflow))
		line("step", wordText(m.Step))
		if len(i.Open) > 0 {
			line("open", openText(i.Open))
		}
		if len(i.Published) > 0 {
			line("published", namesText(i.Published))
		}
		if len(i.Doubt) > 0 {
			line("in doubt", st.yellow(namesText(i.Doubt)))
		}
		if m.Started != nil {
			line("started", m.Started.Local().Format("2006-01-02 15:04:05.000"))
		}
		if m.Updated != nil {
			line("updated", m.Updated.Local().Format("2006-01-02 15:04:05.000"))
		}
		if m.Error != "" {
			line("error", st.red(keyText(m.Error)))
		}
		if m.Payload != "" {
			payload := admin.CacheItem{Value: m.Payload, Encoding: m.PayloadEncoding}
			raw, _ := payload.RawValue() // shown empty if it makes no sense
			line("payload", brief(raw))
		}
	} else {
		line("value", brief(value))
	}
	if o := i.Orphan; o != nil {
		line("orphan", st.yellow("of "+orphanText(*o)))
	}
	line("entry", strings.Join(entryTexts(i), ", "))
}

// entryTexts says what the cache knows of an entry.
func entryTexts(i admin.CacheItem) []string {
	texts := []string{sizeText(int64(i.Size)), "record " + strconv.FormatUint(i.Seq, 10), ageText(i.AgeMs) + " old"}
	if i.InFlight {
		texts = append(texts, "in flight")
	}
	if text := copyText(i.Copy); text != "" {
		texts = append(texts, text)
	}
	return texts
}

// brief is the beginning of a value on one line.
func brief(v []byte) string {
	const most = 200
	size := sizeText(int64(len(v)))
	if len(v) == 0 {
		return size
	}
	if !utf8.Valid(v) {
		return size + ", not text"
	}
	text := []rune(string(v))
	if len(text) > most {
		return size + ": " + keyText(string(text[:most])) + "…"
	}
	return size + ": " + keyText(string(text))
}

// valueText is a value for a terminal: lines stay lines, what cannot be printed
// is escaped, and the last line has an end.
func valueText(v []byte) string {
	var b strings.Builder
	for rest := v; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || r == '\t' || unicode.IsPrint(r) && (r != utf8.RuneError || n > 1):
			b.Write(rest[:n])
		default:
			q := strconv.QuoteToASCII(string(rest[:n]))
			b.WriteString(q[1 : len(q)-1])
		}
		rest = rest[n:]
	}
	if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}
