package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		says string // all of standard error
	}{
		{errors.New("unknown flag: --x"), 2, "interlok-ha: unknown flag: --x\ninterlok-ha: hint: `interlok-ha help` tells how each verb is used\n"},
		{usageError("no", "do"), 2, "interlok-ha: no\ninterlok-ha: hint: do\n"},
		{ran{usageError("no", "")}, 2, "interlok-ha: no\n"},
		{ran{errors.New("it broke")}, 1, "interlok-ha: it broke\n"},
		{ran{context.DeadlineExceeded}, 1, "interlok-ha: context deadline exceeded\n"},
		{ran{&exit{code: 1}}, 1, ""},
		{ran{&node.ExitError{Code: 137}}, 137, ""},
		{ran{fmt.Errorf("run: %w", &node.ExitError{Code: 70})}, 70, ""},
		{ran{&node.ExitError{Code: 0}}, 0, ""},
		{ran{config.Faults{{Place: "f:1", Key: "k", Wrong: "w", Instead: "i"}}}, 2, "f:1: k: w; i\ninterlok-ha: 1 fault in the settings\n"},
		{ran{&admin.Error{Kind: admin.KindNotReached, Detail: "nobody", Mend: "start one"}}, 3, "interlok-ha: nobody\ninterlok-ha: hint: start one\n"},
		{ran{&admin.Error{Kind: admin.KindAmbiguous, Detail: "two"}}, 2, "interlok-ha: two\n"},
		{ran{&admin.Error{Kind: admin.KindUsage, Detail: "odd"}}, 2, "interlok-ha: odd\n"},
		{ran{&admin.Error{Kind: admin.KindUnknown, Detail: "no such name"}}, 1, "interlok-ha: no such name\n"},
		{ran{&admin.Error{Kind: admin.KindRunning, Detail: "live"}}, 1, "interlok-ha: live\n"},
		{ran{errors.Join(errors.New("one"), errors.New("two"))}, 1, "interlok-ha: one\ninterlok-ha: two\n"},
	} {
		var stderr strings.Builder
		a := &app{stderr: &stderr}
		if got := a.fail(tt.err); got != tt.code || stderr.String() != tt.says {
			t.Errorf("%v: code %d and %q, want %d and %q", tt.err, got, stderr.String(), tt.code, tt.says)
		}
	}
}

func TestLogFormats(t *testing.T) {
	for _, tt := range []struct{ format, level, line string }{
		{"console", "info", `^\d\d:\d\d:\d\d\.\d{3} INF Started listener port=2710\n$`},
		{"json", "info", `^{"level":"info","port":2710,"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)","message":"Started listener"}\n$`},
		{"console", "warn", `^$`},
		{"json", "error", `^$`},
	} {
		var stderr strings.Builder
		a := &app{stderr: &stderr, logFormat: tt.format, logLevel: tt.level}
		log := a.logger()
		log.Info().Int("port", 2710).Msg("Started listener")
		if !a.log.Flush(10 * time.Second) {
			t.Fatal("not flushed")
		}
		if got := stderr.String(); !regexp.MustCompile(tt.line).MatchString(got) {
			t.Errorf("%s %s: %q, want %s", tt.format, tt.level, got, tt.line)
		}
	}
}

func TestColourOnlyOnTerminals(t *testing.T) {
	a := &app{stdout: new(strings.Builder)}
	if a.styleOf(a.stdout) {
		t.Error("a pipe is coloured")
	}
	if got := style(false).red("x") + style(true).red("y"); got != "x\x1b[31my\x1b[0m" {
		t.Errorf("got %q", got)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain äöü 漢":              "plain äöü 漢",
		style(true).green("a"):     "\x1b[32ma\x1b[0m",
		"\x1b[2J\x1b]0;title\x07x": "�[2J�]0;title�x",
		"one\ntwo\rthree\tfour":    "one�two�three�four",
		"\xff\x9b31m":              "��31m",
	} {
		if got := safe(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
