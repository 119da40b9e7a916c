package workload

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestReignEnviron(t *testing.T) {
	base := []string{"A=1", "INTERLOK_HA_TOKEN=old", "INTERLOK_HA_TOKEN_FILE=old", "INTERLOK_HA_RUN=old", "INTERLOK_HA_FAILOVER_DELAY=10"}
	for _, tt := range []struct {
		name  string
		reign Reign
		want  []string
	}{
		{"all", Reign{Token: "t", Epoch: 3, Cluster: "c", Instance: "i", ID: [16]byte{15: 1}, Socket: "/s", TokenFile: "/f"}, []string{
			"A=1", "INTERLOK_HA_FAILOVER_DELAY=10", "INTERLOK_HA_TOKEN=t", "INTERLOK_HA_EPOCH=00000000000000000003",
			"INTERLOK_HA_CLUSTER=c", "INTERLOK_HA_INSTANCE=i", "INTERLOK_HA_ID=00000000000000000000000000000001",
			"INTERLOK_HA_SOCKET=/s", "INTERLOK_HA_TOKEN_FILE=/f", "INTERLOK_HA_RUN=r",
		}},
		{"without a token", Reign{Cluster: "c"}, []string{
			"A=1", "INTERLOK_HA_FAILOVER_DELAY=10", "INTERLOK_HA_CLUSTER=c",
			"INTERLOK_HA_ID=00000000000000000000000000000000", "INTERLOK_HA_RUN=r",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.reign.environ(base, "r"); !slices.Equal(got, tt.want) {
				t.Errorf("environ\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	if base[1] != "INTERLOK_HA_TOKEN=old" {
		t.Error("the caller's environment was changed")
	}
}

func TestWriteTokenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	for _, token := range []string{"first-and-longer", "second"} {
		if err := WriteTokenFile(path, token); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != token+"\n" {
			t.Errorf("read %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if err := WriteTokenFile(dir, "x"); err == nil {
		t.Error("a directory was overwritten")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestSplitCommand(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{" \t ", nil, true},
		{"/bin/check  -x 1", []string{"/bin/check", "-x", "1"}, true},
		{`a 'b c' "d e"`, []string{"a", "b c", "d e"}, true},
		{`a '' ""`, []string{"a", "", ""}, true},
		{`--x='b "c"'d`, []string{`--x=b "c"d`}, true},
		{`C:\bin\check \'x'`, []string{`C:\bin\check`, `\x`}, true},
		{`echo $(id) ; rm *`, []string{"echo", "$(id)", ";", "rm", "*"}, true},
		{`a 'b`, nil, false},
		{`a "b'`, nil, false},
		{"a\x00b", nil, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := SplitCommand(tt.text)
			if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
				t.Errorf("%q, %v; want %q, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}
