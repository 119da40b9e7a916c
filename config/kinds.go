package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is a way to write a value: its name for people, and how to check a
// value and put it into the settings. set leaves the settings alone if it
// complains. It must not repeat a secret in a complaint.
type kind struct {
	name  string
	paths bool // relative values in a file are relative to the file's folder
	reads bool // set opens a file: values that another overrides are not tried
	set   func(s *Settings, v string) *complaint
}

func group(field func(*Settings) *netip.Addr) kind {
	return kind{name: "multicast address", set: func(s *Settings, v string) *complaint {
		const instead = "write an address in 224.0.0.0/4 or ff00::/8, such as 230.0.0.1"
		a, err := netip.ParseAddr(v)
		if err != nil {
			return complain(instead, "%s is not an IP address", quote(v))
		}
		if a = a.Unmap(); !a.IsMulticast() {
			return complain(instead, "%s is not a multicast address", quote(v))
		}
		*field(s) = a
		return nil
	}}
}

func port(field func(*Settings) *uint16) kind {
	return kind{name: "port", set: func(s *Settings, v string) *complaint {
		p, bad := parsePort(v)
		if bad != nil {
			return bad
		}
		*field(s) = p
		return nil
	}}
}

func parsePort(v string) (uint16, *complaint) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return 0, complain("write a number from 1 to 65535, such as 2710", "%s is not a port", quote(v))
	}
	return uint16(n), nil
}

func millis(least, most time.Duration, field func(*Settings) *time.Duration) kind {
	return duration("ms", least, most, field)
}

func seconds(least, most time.Duration, field func(*Settings) *time.Duration) kind {
	return duration("s", least, most, field)
}

// duration takes whole milliseconds from least to most. A bare number counts units.
func duration(unit string, least, most time.Duration, field func(*Settings) *time.Duration) kind {
	return kind{name: "duration (" + unit + ")", set: func(s *Settings, v string) *complaint {
		d, bad := parseDuration(v, unit, least, most)
		if bad != nil {
			return bad
		}
		*field(s) = d
		return nil
	}}
}

func parseDuration(v, unit string, least, most time.Duration) (time.Duration, *complaint) {
	text := v
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		text += unit
	}
	example := map[string]string{"ms": "1000 (milliseconds), 250ms or 3s", "s": "20 (seconds), 500ms or 1m"}[unit]
	// ParseDuration takes no exponents, so an odd float such as 1e3 ends here too.
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, complain("write a number of "+unit+" or a number with a unit, such as "+example, "%s is not a duration", quote(v))
	}
	instead := fmt.Sprintf("write %v to %v, such as %s", least, most, example)
	if most == math.MaxInt64 {
		instead = fmt.Sprintf("write %v or more, such as %s", least, example)
	}
	switch {
	case d < least:
		return 0, complain(instead, "%s is too short", quote(v))
	case d > most:
		return 0, complain(instead, "%s is too long", quote(v))
	case d%time.Millisecond != 0:
		return 0, complain(instead, "%s is not a whole number of milliseconds", quote(v))
	}
	return d, nil
}

func integer[T int | int64](least, most T, field func(*Settings) *T) kind {
	return kind{name: "number", set: func(s *Settings, v string) *complaint {
		instead := fmt.Sprintf("write a whole number from %d to %d", least, most)
		n, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil && !isNumber(v):
			return complain(instead, "%s is not a whole number", quote(v))
		case err != nil || n < int64(least) || n > int64(most):
			return complain(instead, "%s is out of range", quote(v))
		}
		*field(s) = T(n)
		return nil
	}}
}

// generation is bounded because a token writes it with 19 digits before others.
func generation(field func(*Settings) *uint64) kind {
	return kind{name: "number", set: func(s *Settings, v string) *complaint {
		const most, instead = 1e18 - 1, "write a whole number from 0 to 999999999999999999, such as 1"
		n, err := strconv.ParseUint(v, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) || err == nil && n > most:
			return complain(instead, "%s is too large for the token", quote(v))
		case err != nil:
			return complain(instead, "%s is not a count", quote(v))
		}
		*field(s) = n
		return nil
	}}
}

func isNumber(v string) bool {
	digits := strings.TrimLeft(v, "+-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

func boolean(field func(*Settings) *bool) kind {
	return kind{name: "true or false", set: func(s *Settings, v string) *complaint {
		switch strings.ToLower(v) {
		case "true":
			*field(s) = true
		case "false":
			*field(s) = false
		default:
			return complain("write true or false", "%s is neither true nor false", quote(v))
		}
		return nil
	}}
}

func enum[T ~string](field func(*Settings) *T, words ...T) kind {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	last := len(names) - 1
	list := strings.Join(names[:last], ", ") + " or " + names[last]
	return kind{name: list, set: func(s *Settings, v string) *complaint {
		w := T(strings.ToLower(v))
		if !slices.Contains(words, w) {
			return complain("write "+list, "%s is none of its values", quote(v))
		}
		*field(s) = w
		return nil
	}}
}

func socketMode(field func(*Settings) *SocketMode) kind {
	k := enum(field, SocketMulticast, SocketTCP)
	set := k.set
	k.set = func(s *Settings, v string) *complaint {
		if strings.EqualFold(v, "jgroups") {
			return complain("write multicast or tcp", "jgroups is not supported")
		}
		return set(s, v)
	}
	return k
}

// label is the name of an instance or a cluster. It becomes part of packets and
// of paths.
func label(field func(*Settings) *string) kind {
	return kind{name: "name", set: func(s *Settings, v string) *complaint {
		if bad := checkLabel(v); bad != nil {
			return bad
		}
		*field(s) = v
		return nil
	}}
}

func checkLabel(v string) *complaint {
	const instead = "write 1 to 63 bytes without / and control characters, such as node-a"
	switch {
	case v == "":
		return complain(instead, "the name is empty")
	case len(v) > 63:
		return complain(instead, "%s has %d bytes", quote(v), len(v))
	case v == "." || v == "..":
		return complain(instead, "%s cannot be the name of a file", quote(v))
	case !utf8.ValidString(v) || strings.ContainsFunc(v, forges):
		return complain(instead, "%s has a control character, a line separator, a mark that turns the direction of writing, or is not UTF-8", quote(v))
	case strings.Contains(v, "/"):
		return complain(instead, "%s has a /", quote(v))
	}
	return nil
}

// forges reports what could forge a line of a log or a table. A packet with
// such a name is refused, by the same set: see heartbeat's cleanName.
func forges(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func labels(field func(*Settings) *[]string) kind {
	return kind{name: "names, NAME;NAME", set: func(s *Settings, v string) *complaint {
		list := splitList(v, ";,")
		if len(list) == 0 {
			return complain("write names with ; between them, such as a;b;c", "%s names nobody", quote(v))
		}
		for i, n := range list {
			if bad := checkLabel(n); bad != nil {
				return bad
			}
			if slices.Contains(list[:i], n) {
				return complain("write each name once", "%s is named twice", quote(n))
			}
		}
		*field(s) = list
		return nil
	}}
}

func word(field func(*Settings) *string) kind {
	return kind{name: "name", set: func(s *Settings, v string) *complaint {
		if !plain(v) {
			return complain("write one name, such as eth0 or lo", "%s has a space, a / or a control character", quote(v))
		}
		*field(s) = v
		return nil
	}}
}

func words(field func(*Settings) *[]string) kind {
	return kind{name: "names, NAME,NAME", set: func(s *Settings, v string) *complaint {
		const instead = "write names with commas between them, such as failover,metrics"
		list := splitList(v, ",")
		if len(list) == 0 {
			return complain(instead, "%s names nothing", quote(v))
		}
		for _, n := range list {
			if !plain(n) {
				return complain(instead, "%s has a space, a / or a control character", quote(n))
			}
		}
		*field(s) = list
		return nil
	}}
}

func plain(v string) bool {
	return utf8.ValidString(v) && !strings.ContainsFunc(v, func(r rune) bool {
		return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// splitList splits at any byte of separators; space around the parts and empty
// parts fall away.
func splitList(v, separators string) []string {
	var list []string
	for _, part := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func path(field func(*Settings) *string) kind {
	return kind{name: "path", paths: true, set: func(s *Settings, v string) *complaint {
		if strings.ContainsRune(v, 0) {
			return complain("write a path", "%s has a NUL character", quote(v))
		}
		*field(s) = v
		return nil
	}}
}

func promoteWait() kind {
	return kind{name: "duration (ms) or block", set: func(s *Settings, v string) *complaint {
		if strings.EqualFold(v, "block") {
			s.Cache.PromoteWait, s.Cache.PromoteWaitForever = 0, true
			return nil
		}
		d, bad := parseDuration(v, "ms", 0, 24*time.Hour)
		if bad != nil {
			bad.instead += ", or block"
			return bad
		}
		s.Cache.PromoteWait, s.Cache.PromoteWaitForever = d, false
		return nil
	}}
}

func secrets(field func(*Settings) *[]Secret) kind {
	return kind{name: "keys, KEY;KEY", set: func(s *Settings, v string) *complaint {
		list, bad := parseKeys(v)
		if bad != nil {
			return bad
		}
		*field(s) = list
		return nil
	}}
}

// parseKeys takes keys with ; , or white space between them.
func parseKeys(text string) ([]Secret, *complaint) {
	const instead = "write what `interlok-ha keygen` prints"
	var list []Secret
	for i, w := range splitList(text, ";, \t\r\n\f") {
		b, err := base64.StdEncoding.DecodeString(w)
		if err != nil {
			return nil, complain(instead, "key %d is not base64", i+1)
		}
		if len(b) != len(Secret{}) {
			return nil, complain(instead, "key %d has %d bytes, not 32", i+1, len(b))
		}
		list = append(list, Secret(b))
	}
	if len(list) == 0 {
		return nil, complain(instead, "there is no key")
	}
	return list, nil
}
