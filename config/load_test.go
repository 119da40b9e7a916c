package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// in writes files into a folder and moves there, so that places read as users
// would see them.
func in(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, text, 0o600)
	}
}

func TestFaultsAllAtOnce(t *testing.T) {
	in(t, map[string]string{
		"bootstrap.properties": `# host application
adapterConfigUrl=file://localhost/./config/adapter.xml
jetty.dealy=x

failover.dealy = 1000
failover.group = 10.0.0.1
failover.retries \
   = one
failover.isolation=quorum
=x
failover.name=\u12
failover.jgroups.config.file=x.xml
`,
		"adp-profiler.properties": "failover.nonsense=1\n" + pluginFactory + "=,\n",
	})
	src := source("failover.ttl", "delay=5", "failover.votes=x", "other.key=1", "failover.secondary.position=z")
	src.File = "bootstrap.properties"
	src.Environ = append(src.Environ, "INTERLOK_HA_FAILOVER_DELAY=soon", "INTERLOK_HA_FAILOVER_RETRY=5", "INTERLOK_HA_TOKEN=x", "INTERLOK_HA_FAILOVER_NOPE=")
	_, err := Load(src)
	const want = `adp-profiler.properties:2: com.adaptris.profiler.plugin.factory: "," names nothing; write names with commas between them, such as failover,metrics
bootstrap.properties:5: failover.dealy: no such key; write failover.delay if that is what you mean
bootstrap.properties:6: failover.group: "10.0.0.1" is not a multicast address; write an address in 224.0.0.0/4 or ff00::/8, such as 230.0.0.1
bootstrap.properties:7: failover.retries: "one" is not a whole number; write a whole number from 2 to 1000
bootstrap.properties:10: the line has no key; write KEY=VALUE, or # before a comment
bootstrap.properties:11: the line has a \u that is not followed by four hexadecimal digits; write \\u for a backslash and a u, or an escape like \u00e4
bootstrap.properties:12: failover.jgroups.config.file: jgroups is not supported; write failover.socket.mode=multicast or tcp
environment: INTERLOK_HA_FAILOVER_DELAY: "soon" is not a duration; write a number of ms or a number with a unit, such as 1000 (milliseconds), 250ms or 3s
environment: INTERLOK_HA_FAILOVER_RETRY: no such key; write INTERLOK_HA_FAILOVER_RETRIES if that is what you mean
environment: INTERLOK_HA_FAILOVER_NOPE: no such key; write INTERLOK_HA_FAILOVER_NAME if that is what you mean
--set: failover.ttl: there is no =; write --set KEY=VALUE
--set: delay: no such key; write failover.delay
--set: failover.votes: "x" is not a whole number; write a whole number from 1 to 253
--set: failover.secondary.position: "z" is not a whole number; write a whole number from 0 to 65535
bootstrap.properties:9: failover.isolation: it needs a quorum, and failover.quorum is 0; write failover.quorum=2 (for three votes), or isolation auto or continue`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var one Fault
	if !errors.As(err, &one) || one.Place != "adp-profiler.properties:2" || one.Key != pluginFactory {
		t.Errorf("first fault is %+v", one)
	}
}

func TestOrderAndOrigin(t *testing.T) {
	in(t, map[string]string{
		"etc/bootstrap.properties": "failover.delay=2000\nfailover.retries=4\nfailover.secondary.position=7\nfailover.ttl=9\nfailover.ttl=8\n" +
			"failover.key=" + testKey + "\nfailover.voters=a;b\nfailover.quorum=2\nfailover.state.dir=state\n" + pluginFactory + "=log\n",
		"etc/adp-profiler.properties": pluginFactory + "=otel\nfailover.delay=1\n",
		"etc/ehcache.xml":             "<ehcache/>",
	})
	src := source("failover.retries=6", "failover.retries= 7", "failover.voters=")
	src.File = "etc/bootstrap.properties"
	src.Environ = append(src.Environ, "INTERLOK_HA_FAILOVER_RETRIES=5", "INTERLOK_HA_FAILOVER_NAME=env", "INTERLOK_HA_FAILOVER_NAME=env2", "INTERLOK_HA_FAILOVER_CLUSTER= ", "INTERLOK_HA_FAILOVER_SLAVE_POSITION=3")
	s, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Shown{
		"failover.delay":              {"", "2000", "etc/bootstrap.properties:1"},
		"failover.retries":            {"", "7", "--set"},
		"failover.slave.position":     {"", "3", "environment INTERLOK_HA_FAILOVER_SLAVE_POSITION"},
		"failover.ttl":                {"", "8", "etc/bootstrap.properties:5"},
		"failover.name":               {"", "env2", "environment INTERLOK_HA_FAILOVER_NAME"},
		"failover.cluster":            {"", "default", "default"},
		"failover.key":                {"", "******", "etc/bootstrap.properties:6"},
		"failover.voters":             {"", "", "--set"},
		"failover.state.dir":          {"", "etc/state", "etc/bootstrap.properties:9"},
		"failover.cache.config":       {"", "etc/ehcache.xml", "default"},
		"failover.cache.promote.wait": {"", "14000", "default"},
		pluginFactory:                 {"", "log", "etc/bootstrap.properties:10"},
	}
	for _, row := range s.Show() {
		if w, ok := want[row.Key]; ok {
			if w.Key = row.Key; row != w {
				t.Errorf("got %+v, want %+v", row, w)
			}
		}
		if strings.Contains(row.Value, testKey) {
			t.Errorf("the key is shown: %+v", row)
		}
	}
	if got := s.Lease(); got.String() != "14s" || s.Down() != got || s.Cache.PromoteWait != got {
		t.Errorf("lease is %v, down %v, promote wait %v", got, s.Down(), s.Cache.PromoteWait)
	}
	if len(s.Election.Voters) != 0 || s.Election.Position != 3 || len(s.Keys) != 1 || s.StateDir != "etc/state" || s.Cache.ConfigFile != "etc/ehcache.xml" {
		t.Errorf("settings are %+v", s)
	}
	if w := "etc/bootstrap.properties:4: failover.ttl: line 5 gives it again, and counts"; len(s.Warnings) == 0 || s.Warnings[0] != w {
		t.Errorf("warnings are %q", s.Warnings)
	}
}

// A value that another overrides must still be sound, but its file is not needed.
func TestOverridden(t *testing.T) {
	in(t, map[string]string{"b.properties": "failover.key.file=/not/here\nfailover.cache.config=none.xml\n", "key": testKey})
	src := source("failover.key.file=key", "failover.cache.config=")
	src.File = "b.properties"
	if s, err := Load(src); err != nil || len(s.Keys) != 1 {
		t.Errorf("got %v, %v", s, err)
	}
	src = source("failover.delay=x", "failover.delay=1000")
	if _, err := Load(src); err == nil {
		t.Error("no fault for a bad value that another overrides")
	}
}

func TestFileNotReadable(t *testing.T) {
	in(t, map[string]string{"utf16.properties": "\xff\xfea\x00", "dir/adp-profiler.properties/x": "", "dir/b.properties": ""})
	src := source()
	src.File = "none.properties"
	if _, err := Load(src); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.properties") {
		t.Errorf("got %v", err)
	}
	src.File = "utf16.properties"
	if _, err := Load(src); err == nil || err.Error() != "utf16.properties: not a properties text (it has NUL bytes or is UTF-16); save it as text in UTF-8" {
		t.Errorf("got %v", err)
	}
	src.File = "dir/b.properties"
	if _, err := Load(src); !errors.Is(err, errIsDir) {
		t.Errorf("got %v", err)
	}
}

// Nothing is told of what keys of a file hold together that could not be read.
func TestFileIsNoText(t *testing.T) {
	in(t, map[string]string{
		"nul.properties":              "failover.multicast.group=230.0.0.9\nx=\x00\xff\n",
		"long.properties":             strings.Repeat("#", maxFile+1),
		"most.properties":             strings.Repeat("#", maxFile),
		"sub/b.properties":            "failover.multicast.group=230.0.0.9\n",
		"sub/adp-profiler.properties": "\xfe\xff\x00a",
	})
	for file, want := range map[string]string{
		"nul.properties":  "nul.properties: not a properties text (it has NUL bytes or is UTF-16); save it as text in UTF-8",
		"long.properties": "long.properties: longer than 1 MiB; name a properties text",
	} {
		src := source("failover.multicast.port=1")
		src.File = file
		_, err := Load(src)
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) != 1 || err.Error() != want {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
	src := source()
	src.File = "most.properties"
	if _, err := Load(src); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	src = source("failover.delay=x")
	src.File = "sub/b.properties"
	_, err := Load(src)
	if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != 2 || faults[0].Place != filepath.Join("sub", profilerFile) || faults[1].Key != "failover.delay" {
		t.Errorf("got %v", err)
	}
}

// A value that a later line of the file overrides must be sound too.
func TestOverriddenInOneFile(t *testing.T) {
	in(t, map[string]string{"b.properties": "failover.delay=bad\nfailover.delay=250\nfailover.secondary.position=z\nfailover.slave.position=2\nfailover.key.file=/not/here\nfailover.key.file=\n"})
	src := source()
	src.File = "b.properties"
	_, err := Load(src)
	if err == nil || !match(strings.Split(err.Error(), "\n"), `b.properties:1: failover.delay: "bad" is not a duration|b.properties:3: failover.secondary.position: "z" is not`) {
		t.Errorf("got %v", err)
	}
}

// Guesses cost time: a file of nonsense is still checked at once.
func TestGuessesAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&text, "failover.x%d=\n", i)
	}
	in(t, map[string]string{"b.properties": text.String()})
	src := source()
	src.File = "b.properties"
	_, err := Load(src)
	faults, _ := errors.AsType[Faults](err)
	if len(faults) != 50_000 {
		t.Fatalf("%d faults, want one for each line", len(faults))
	}
	for i, f := range faults {
		if got := strings.Contains(f.Instead, "if that is what you mean"); got != (i < 100) || f.Instead == "" {
			t.Fatalf("fault %d says %q", i, f.Instead)
		}
	}
	src = source("failover."+strings.Repeat("x", 91)+"=", "failover."+strings.Repeat("x", 92)+"=")
	src.Environ = append(src.Environ, "INTERLOK_HA_FAILOVER_"+strings.Repeat("X", 92)+"=", "INTERLOK_HA_FAILOVER_DEALY=")
	_, err = Load(src)
	faults, _ = errors.AsType[Faults](err)
	var guessed []bool
	for _, f := range faults {
		guessed = append(guessed, strings.Contains(f.Instead, "if that is what you mean"))
	}
	if fmt.Sprint(guessed) != "[false true true false]" {
		t.Errorf("guesses of %v: %v", err, guessed)
	}
}

// What stands in a file cannot move the cursor of whoever reads the faults.
func TestFaultsAreTame(t *testing.T) {
	in(t, map[string]string{"b.properties": "failover.a\\u001b[31m\\u202e=1\nfailover.b\\nc=1\nfailover.ä=1\nfailover." + strings.Repeat("x", 1000) + "=1\n" +
		"failover.cache.config=\\u001b[2Jno\nfailover.token=1\nfailover.admin.token.file=x\\ny\nfailover.jgroups.\\u001b=1\n"})
	src := source("\x1b[31m", "failover.\x1b=1", "failover.delay\x00", "failover.key=\x1b")
	src.File = "b.properties"
	src.Environ = append(src.Environ, "INTERLOK_HA_FAILOVER_\x1b]0;x\a=1")
	_, err := Load(src)
	faults, _ := errors.AsType[Faults](err)
	if len(faults) != 13 {
		t.Errorf("%d faults: %v", len(faults), err)
	}
	for _, f := range faults {
		for _, text := range []string{f.Error(), f.Key, f.Wrong, f.Instead} {
			if len(text) > 400 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("the fault says %q", text)
			}
		}
	}
	for i, want := range []string{`"failover.a\x1b[31m\u202e"`, `"failover.b\nc"`, "failover.ä", `"failover.xxx`} {
		if !strings.HasPrefix(faults[i].Key, want) {
			t.Errorf("key %d is %s, want %s", i, faults[i].Key, want)
		}
	}
	in(t, map[string]string{"x\x1by/key": testKey})
	if err := os.Chmod("x\x1by/key", 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, "x\x1by/b.properties", "", 0o600)
	_, err = Load(source("failover.admin.listen=127.0.0.1:0", "failover.admin.token.file=x\x1by/key"))
	_, other := Load(source("failover.key.file=x\x1by/key"))
	if err = errors.Join(err, other); err == nil || strings.Contains(err.Error(), "\x1b") || strings.Count(err.Error(), `x\x1by/key (mode 0644)`) != 2 {
		t.Errorf("got %v", err)
	}
	s, err := Load(source("failover.cache.bind=0.0.0.0", "failover.state.dir=x\x1by"))
	if err != nil || strings.Contains(strings.Join(s.Warnings, ""), "\x1b") {
		t.Errorf("warnings of %+v, %v", s, err)
	}
}

// What looks like a setting and has no key is a fault.
func TestSetWithoutKey(t *testing.T) {
	for _, set := range []string{"=x", "=", " =x"} {
		_, err := Load(source(set))
		if err == nil || err.Error() != "--set: there is no key before the =; write --set KEY=VALUE" {
			t.Errorf("--set %q: got %v", set, err)
		}
	}
}

func TestDefaultsThatDepend(t *testing.T) {
	for _, tt := range []struct {
		name      string
		src       Source
		dir, want string // state directory, or part of the fault
	}{
		{"user", Source{Hostname: "h", Environ: []string{"HOME=/home/u"}}, "/home/u/.local/state/interlok-ha/default/h", ""},
		{"XDG", Source{Hostname: "h", Environ: []string{"HOME=/home/u", "XDG_STATE_HOME=/s"}}, "/s/interlok-ha/default/h", ""},
		{"relative XDG is ignored", Source{Hostname: "h", Environ: []string{"HOME=/home/u", "XDG_STATE_HOME=s"}}, "/home/u/.local/state/interlok-ha/default/h", ""},
		{"root", Source{Hostname: "h", Root: true}, "/var/lib/interlok-ha/default/h", ""},
		{"named", Source{Hostname: "h", Root: true, Sets: []string{"failover.cluster=c", "failover.name=n"}}, "/var/lib/interlok-ha/c/n", ""},
		{"no home", Source{Hostname: "h"}, "", "default: failover.state.dir: there is no home directory to keep it in; set HOME, or write failover.state.dir=FOLDER"},
		{"no home in the environment", Source{Hostname: "h", Home: func() (string, bool) { return "/known", true }}, "/known/interlok-ha/default/h", ""},
		{"a home in the environment goes first", Source{Hostname: "h", Environ: []string{"HOME=/home/u"}, Home: Home}, "/home/u/.local/state/interlok-ha/default/h", ""},
		{"no home, not needed", Source{Hostname: "h", Sets: []string{"failover.state.dir=/x"}}, "/x", ""},
		{"no host name", Source{Root: true}, "", "default: failover.name: the host name cannot be the name: the name is empty; choose a name with --name or failover.name"},
		{"host name that turns the writing", Source{Root: true, Hostname: "a\u202eb"}, "", "default: failover.name: the host name cannot be the name: \"a\\u202eb\" has a control character, a line separator, a mark that turns the direction of writing, or is not UTF-8; choose a name with --name or failover.name"},
		{"no host name, not needed", Source{Root: true, Sets: []string{"failover.name=n"}}, "/var/lib/interlok-ha/default/n", ""},
	} {
		s, err := Load(tt.src)
		switch {
		case tt.want != "":
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case s.StateDir != tt.dir:
			t.Errorf("%s: state directory is %s, want %s", tt.name, s.StateDir, tt.dir)
		}
	}
}

// What the documents of the Java products show as examples.
func TestJavaExamples(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"3.0.6", "failover.group=230.0.0.1\nfailover.port=2710\nfailover.delay=1000\nfailover.retries=5\n", "3.0.6 1s×5 230.0.0.1:2710"},
		{"3.3 multicast", "failover.multicast.group=224.0.0.4\nfailover.multicast.port=4446\nfailover.slave.position=2\nfailover.ping.interval.seconds=3\nfailover.instance.timeout.seconds=20\n", "3.3 multicast 224.0.0.4:4446 2 3s 20s"},
		{"3.3 tcp", "failover.socket.mode=tcp\nfailover.tcp.port=4446\nfailover.tcp.peers=localhost:4444;localhost:4445\n", "3.3 tcp 10.9.8.7:4446 [{localhost 4444} {localhost 4445}]"},
	} {
		in(t, map[string]string{
			"bootstrap.properties":    "adapterConfigUrl.1=file://localhost/./config/adapter.xml\nmanagementComponents=jetty:jmx\n" + tt.text,
			"adp-profiler.properties": pluginFactory + "=com.adaptris.failover.plugin.FailoverInterlokPluginFactory\n",
		})
		src := source()
		src.File, src.HostAddress = "bootstrap.properties", "10.9.8.7"
		s, err := Load(src)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if len(s.Warnings) > 0 {
			t.Errorf("%s: warnings %q", tt.name, s.Warnings)
		}
		if got := summary(s); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if s.Profiler.Plugins[0] != "com.adaptris.failover.plugin.FailoverInterlokPluginFactory" {
			t.Errorf("%s: plugins %q", tt.name, s.Profiler.Plugins)
		}
	}
}
