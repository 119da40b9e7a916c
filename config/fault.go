package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing that is wrong with the input.
type Fault struct {
	Place   string // "FILE:LINE", "environment", "--set" or "default"
	Key     string // as it was written there, quoted and cut if it is odd or long; a variable's name in the environment
	Wrong   string // what is wrong
	Instead string // what to write instead
}

// Error is "PLACE: KEY: what is wrong; what to write instead".
func (f Fault) Error() string {
	text := f.Place + ": "
	if f.Key != "" {
		text += f.Key + ": "
	}
	return text + f.Wrong + "; " + f.Instead
}

// Faults is every fault of one input, never empty where it is an error.
type Faults []Fault

// Error is one fault per line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults to [errors.As].
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// complaint is a fault before its place and key are known. nil: no fault.
type complaint struct{ wrong, instead string }

func complain(instead, wrong string, args ...any) *complaint {
	return &complaint{wrong: tame(fmt.Sprintf(wrong, args...)), instead: tame(instead)}
}

// tame escapes what could move the cursor of a terminal or begin another line.
func tame(text string) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			b.WriteString(strings.Trim(strconv.Quote(rest[:n]), `"`))
		} else {
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String()
}

// quoteKey shows a key in a fault: as it is, unless it is odd or long.
func quoteKey(k string) string {
	if len(k) <= maxGuessed && tame(k) == k {
		return k
	}
	return quote(k)
}

// quote shows a value in a fault; long ones are cut.
func quote(v string) string {
	const most = 60
	if len(v) > most {
		v = strings.ToValidUTF8(v[:most], "") + "…"
	}
	return fmt.Sprintf("%q", v)
}
