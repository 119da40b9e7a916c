package workload

import (
	"slices"
	"testing"
)

// A number that was cut off is another process's, and must not be killed.
func TestParseChildren(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []int
	}{
		{"", nil},
		{"12", nil},
		{"12 ", []int{12}},
		{"12 345 67", []int{12, 345}},
		{" 12 x 0 -1 7 ", []int{12, 7}},
	} {
		if got := parseChildren(nil, []byte(tt.list)); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.list, got, tt.want)
		}
	}
}
