package config

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/magiconair/properties"
)

// maxFile bounds every file read here.
const maxFile = 1 << 20

var (
	errTooLong = errors.New("longer than 1 MiB")
	errNotText = errors.New("not a properties text (it has NUL bytes or is UTF-16)")
)

// property is one key with its value and the line its key stands on, or a line
// that the syntax does not allow.
type property struct {
	key, value string
	line       int
	bad        *complaint
}

// parseProperties reads Java .properties text: UTF-8 with or without a byte
// order mark, or else ISO-8859-1. ${…} stays as it is. Keys come in the order of
// the lines, repeated ones included.
//
// The library parses keys and values, one logical line at a time, because it
// knows no line numbers, ends a continued line at CR LF, and gives up at the first
// bad escape.
func parseProperties(b []byte) ([]property, error) {
	text, err := decodeText(b)
	if err != nil {
		return nil, err
	}
	var props []property
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	for _, l := range logicalLines(text) {
		if l.text[0] == '=' || l.text[0] == ':' {
			props = append(props, property{line: l.line, bad: complain("write KEY=VALUE, or # before a comment", "the line has no key")})
			continue
		}
		if l.text[0] == '#' || l.text[0] == '!' { // can only follow a continued empty line
			l.text = `\` + l.text
		}
		p, err := loader.LoadBytes([]byte(joinSurrogates(l.text)))
		if err != nil {
			// The other escapes cannot fail.
			props = append(props, property{line: l.line, bad: complain(`write \\u for a backslash and a u, or an escape like \u00e4`,
				`the line has a \u that is not followed by four hexadecimal digits`)})
			continue
		}
		for _, k := range p.Keys() {
			v, _ := p.Get(k)
			props = append(props, property{key: k, value: v, line: l.line})
		}
	}
	return props, nil
}

func decodeText(b []byte) (string, error) {
	if len(b) > maxFile {
		return "", errTooLong
	}
	if bytes.HasPrefix(b, []byte("\xfe\xff")) || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.IndexByte(b, 0) >= 0 {
		return "", errNotText
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if utf8.Valid(b) {
		return string(b), nil
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes), nil
}

// logicalLine is a line with its continuations joined, neither empty nor a
// comment, without leading space.
type logicalLine struct {
	text string
	line int // number of its first natural line, from 1
}

// logicalLines splits by the rules of java.util.Properties: CR, LF and CR LF
// end a line; an odd number of backslashes before the end continues it, the
// next line's leading space left out; a comment is never continued, and a
// continuation is never a comment.
func logicalLines(text string) []logicalLine {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	var (
		lines     []logicalLine
		joined    strings.Builder
		first     int
		continued bool
	)
	flush := func() {
		if t := strings.TrimLeft(joined.String(), space); t != "" {
			lines = append(lines, logicalLine{text: t, line: first})
		}
		joined.Reset()
	}
	n := 0
	for natural := range strings.SplitSeq(text, "\n") {
		n++
		natural = strings.TrimLeft(natural, space)
		if !continued {
			first = n
			if natural == "" || natural[0] == '#' || natural[0] == '!' {
				continue
			}
		}
		slashes := len(natural) - len(strings.TrimRight(natural, `\`))
		continued = slashes%2 == 1
		if continued {
			joined.WriteString(natural[:len(natural)-1])
			continue
		}
		joined.WriteString(natural)
		flush()
	}
	if continued { // Java drops a backslash at the end of the file
		flush()
	}
	return lines
}

const space = " \t\f"

var escapes = regexp.MustCompile(`\\u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|\\.`)

// joinSurrogates replaces a pair of \u escapes that stands for one character by
// that character. The library would make two unknown ones of it.
func joinSurrogates(line string) string {
	if !strings.Contains(line, `\u`) {
		return line
	}
	return escapes.ReplaceAllStringFunc(line, func(e string) string {
		if len(e) != len(`\ud83d\ude00`) {
			return e
		}
		hi, _ := strconv.ParseUint(e[2:6], 16, 16)
		lo, _ := strconv.ParseUint(e[8:12], 16, 16)
		return string(utf16.DecodeRune(rune(hi), rune(lo)))
	})
}
