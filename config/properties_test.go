package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/magiconair/properties"
	"pgregory.net/rapid"
)

// What java.util.Properties does with each text; want is "line key=value" with
// a space between, ! for a line that is refused.
func TestProperties(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"separators", "a=1\nb:2\nc 3\nd = 4\ne : 5\nf\t6\ng\n", "[1 a=1] [2 b=2] [3 c=3] [4 d=4] [5 e=5] [6 f=6] [7 g=]"},
		{"second separator is value", "a==1\nb=:2\nc = = 3", "[1 a==1] [2 b=:2] [3 c== 3]"},
		{"comments", "# a=1\n  ! b=2\nc=3 # not one\n#d=4\\\ne=5", "[3 c=3 # not one] [5 e=5]"},
		{"empty lines", "\n \t\f\n\na=1\n\n", "[4 a=1]"},
		{"leading space", "  \ta=1", "[1 a=1]"},
		{"trailing space stays", "a=1  ", "[1 a=1  ]"},
		{"line ends", "a=1\r\nb=2\rc=3\n", "[1 a=1] [2 b=2] [3 c=3]"},
		{"continued", "a=1,\\\n   2,\\\n\t3\nb=4", "[1 a=1,2,3] [4 b=4]"},
		{"continued with CR LF", "a=1,\\\r\n   2\r\nb=4", "[1 a=1,2] [3 b=4]"},
		{"continued in the key", "ab\\\n  cd=1", "[1 abcd=1]"},
		{"continued before the separator", "a \\\n = 1", "[1 a=1]"},
		{"continued by nothing", "a=1\\\n\nb=2", "[1 a=1] [3 b=2]"},
		{"continued at the end", "a=1\\", "[1 a=1]"},
		{"continuation is no comment", "a=1\\\n#2\n\\\n#b=3", "[1 a=1#2] [3 #b=3]"},
		{"even backslashes", "a=1\\\\\nb=2", `[1 a=1\] [2 b=2]`},
		{"only a backslash", "\\\n\\", ""},
		{"escapes", `a\ b\:c\=d=\t1\n2\q\\`, "[1 a b:c=d=\t1\n2q\\]"},
		{"unicode", `a=\u00e4\u20AC \uD83D\uDE00 \\uD83D\\uDE00`, `[1 a=ä€ 😀 \uD83D\uDE00]`},
		{"bad unicode", "a=\\u12\nb=\\uXYZW\nc=1", "[1 !] [2 !] [3 c=1]"},
		{"no key", "=1\n:2\na=3", "[1 !] [2 !] [3 a=3]"},
		{"repeated", "a=1\na=2", "[1 a=1] [2 a=2]"},
		{"not expanded", "a=${b}${\nb=${a}", "[1 a=${b}${] [2 b=${a}]"},
		{"byte order mark", "\xef\xbb\xbfa=1", "[1 a=1]"},
		{"UTF-8", "a=ä", "[1 a=ä]"},
		{"ISO-8859-1", "a=\xe4", "[1 a=ä]"},
	} {
		props, err := parseProperties([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, p := range props {
			if p.bad != nil {
				got = append(got, fmt.Sprintf("[%d !]", p.line))
			} else {
				got = append(got, fmt.Sprintf("[%d %s=%s]", p.line, p.key, p.value))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, strings.Join(got, " "), tt.want)
		}
	}
}

func TestPropertiesRefused(t *testing.T) {
	for _, tt := range []struct {
		text string
		want error
	}{
		{"\xff\xfea\x00=\x001\x00", errNotText},
		{"\xfe\xff\x00a", errNotText},
		{"a=\x00", errNotText},
		{strings.Repeat("#", maxFile+1), errTooLong},
	} {
		if _, err := parseProperties([]byte(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%.10q: got %v, want %v", tt.text, err, tt.want)
		}
	}
}

// Where the library follows Java on whole texts, splitting them first changes
// neither keys nor values, and each line number is where the key stands.
func TestPropertiesAsLibrary(t *testing.T) {
	line := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string {
			key := rapid.StringMatching(`[a-c.]{1,3}(\\[ :=nqé])?`).Draw(t, "key")
			sep := rapid.SampledFrom([]string{"=", ":", " ", " = ", "\t", "\f:\f"}).Draw(t, "separator")
			value := rapid.StringMatching(`([a-z=:#!${} ä]|\\\\|\\[ntrf:= ]|\\u00[0-9a-f]{2}|\\\n[ \t]*[a-z]){0,8}`).Draw(t, "value")
			return key + sep + value
		}),
		rapid.StringMatching(`[ \t\f]*[#!][a-z=\\ ]{0,5}`),
		rapid.StringMatching(`[ \t\f]{0,3}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(line, 0, 8).Draw(t, "lines"), "\n")
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		lib, err := loader.LoadBytes([]byte(text))
		if err != nil {
			t.Fatalf("the library refuses %q: %v", text, err)
		}
		props, err := parseProperties([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, natural := map[string]string{}, strings.Split(text, "\n")
		for _, p := range props {
			if p.bad != nil {
				t.Fatalf("%q: line %d: %v", text, p.line, p.bad)
			}
			got[p.key] = p.value
			if !strings.HasPrefix(natural[p.line-1], p.key[:1]) {
				t.Fatalf("%q: key %q is not on line %d", text, p.key, p.line)
			}
		}
		if want := lib.Map(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
	})
}

func FuzzProperties(f *testing.F) {
	for _, seed := range []string{
		"", "a=1", "failover.delay=250ms\nfailover.retries : 3\n", "a\\\r\n b=\\u00e4\\", "=", "\\\n#", "\xef\xbb\xbf# x\n!", "a=\\u", "\\uD83D\\uDE00=\\uDE00",
		"failover.peers=a;b:1\nfailover.peers=;\nfailover.key=" + testKey, "\xff\xfe", "a=\xe4\n:b", "failover.socket.mode=jgroups\nfailover.jgroups.x=1",
		"failover.health.command='a\" b\nfailover.cache.bind=[::1]:0", "failover.tcp.peers=::1\nfailover.ping.interval.seconds=1e9\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		props, err := parseProperties(b)
		if err != nil {
			return
		}
		lines, size := 1+strings.Count(string(b), "\n")+strings.Count(string(b), "\r"), 0
		last := 0
		for _, p := range props {
			if p.line <= last || p.line > lines {
				t.Fatalf("line %d after %d of %d", p.line, last, lines)
			}
			last = p.line
			size += len(p.key) + len(p.value)
			if p.bad == nil && strings.HasPrefix(p.key, "failover.") {
				if k := keyOf(p.key); k != nil && !k.kind.reads {
					var s Settings
					if c := k.kind.set(&s, p.value); c != nil && (c.wrong == "" || c.instead == "" || len(c.wrong) > 1000) {
						t.Fatalf("%s=%q: complaint %+v", p.key, p.value, c)
					}
				}
			}
		}
		if size > 3*len(b) { // ISO-8859-1 doubles a byte; a bad rune is three
			t.Fatalf("%d bytes of text became %d", len(b), size)
		}
	})
}
