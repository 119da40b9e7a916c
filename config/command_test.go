package config

import (
	"slices"
	"testing"
)

func TestSplitCommand(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{"  a  b\tc ", []string{"a", "b", "c"}, true},
		{`a "b c" 'd "e"' f\ g`, []string{"a", "b c", `d "e"`, "f g"}, true},
		{`a "" ''`, []string{"a", "", ""}, true},
		{`"a\"b\\c\d" 'e\f'`, []string{`a"b\c\d`, `e\f`}, true},
		{`a"b"c'd'`, []string{"abcd"}, true},
		{`sh -c 'x | y > $Z'`, []string{"sh", "-c", "x | y > $Z"}, true},
		{`a "b`, []string{"a", "b"}, false},
		{`a 'b`, []string{"a", "b"}, false},
		{`a \`, []string{"a", ""}, false},
	} {
		got, ok := splitCommand(tt.text)
		if !slices.Equal(got, tt.want) || ok != tt.ok {
			t.Errorf("%s: got %q %t, want %q %t", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}
