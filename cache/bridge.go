package cache

import (
	"log"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// linesEvery is how often a line of one kind is written. What a stranger
	// sends must not fill the disk.
	linesEvery = 10 * time.Second
	// lineKinds bounds the table of kinds; what does not fit shares one place.
	lineKinds = 64
	lineLen   = 256
)

// limiter writes a line of one kind at most once per linesEvery, and tells with
// the next one how many were left out.
type limiter struct {
	log zerolog.Logger

	mu    sync.Mutex // guards kinds
	kinds map[string]*lineKind
}

type lineKind struct {
	last time.Time
	left int
}

func newLimiter(l zerolog.Logger) *limiter {
	return &limiter{log: l, kinds: make(map[string]*lineKind)}
}

// line is the event to write, or nil, which zerolog takes for "none".
func (l *limiter) line(level zerolog.Level, kind string) *zerolog.Event {
	left, ok := l.allow(kind, time.Now())
	if !ok {
		return nil
	}
	e := l.log.WithLevel(level)
	if left > 0 {
		e = e.Int("left_out", left)
	}
	return e
}

func (l *limiter) allow(kind string, now time.Time) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil && len(l.kinds) >= lineKinds {
		kind = ""
		k = l.kinds[kind]
	}
	if k == nil {
		k = &lineKind{}
		l.kinds[kind] = k
	}
	if !k.last.IsZero() && now.Sub(k.last) < linesEvery {
		k.left++
		return 0, false
	}
	left = k.left
	*k = lineKind{last: now}
	return left, true
}

// bridge is where memberlist writes its log.
type bridge struct {
	lines *limiter
	count *counters
}

func (b *bridge) logger() *log.Logger { return log.New(b, "", 0) }

// routine is what memberlist calls an error or a warning and what is everyday
// life: a peer that died, or one that was started again.
var routine = []string{
	"Failed to send UDP ping", "Failed to send UDP compound ping", "Failed to send indirect", "Failed fallback TCP ping",
	"Failed to send gossip", "Push/Pull with", "Got ping for unexpected node", "Refuting", "Failed to send ack", "Failed to forward ack",
	"Failed to send nack", "Failed to push local state", "Failed to send error", "Was able to connect", "handler queue full",
	"Binding to public address",         // told by Open, in our words
	errHead.Error(), errEndless.Error(), // told by the port
}

// foreign is how memberlist says that a key does not fit.
var foreign = []string{"no installed keys could decrypt", "remote state is not encrypted", "remote state is encrypted and"}

// Write takes one line. It never fails.
func (b *bridge) Write(p []byte) (int, error) {
	text := strings.TrimSuffix(string(p[:min(len(p), lineLen)]), "\n")
	level := zerolog.DebugLevel
	if word, rest, ok := strings.Cut(text, " "); ok && strings.HasPrefix(word, "[") {
		text = rest
		if word == "[WARN]" || strings.HasPrefix(word, "[ERR") {
			level = zerolog.WarnLevel
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if containsAny(text, foreign) {
		b.count.refused(refuseKey)
	} else if containsAny(text, routine) {
		level = zerolog.DebugLevel
	}
	b.lines.line(level, "memberlist: "+kindOf(text)).Str("text", printable(text)).Msg("Gossip")
	return len(p), nil
}

func containsAny(text string, parts []string) bool {
	for _, s := range parts {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// kindOf is what is the same in all lines of one kind: the plain words among
// the first few. Names, numbers and addresses are none.
func kindOf(text string) string {
	words := strings.Fields(text)
	kind := make([]string, 0, 5)
	for _, w := range words[:min(len(words), 5)] {
		w = strings.Trim(w, ":,.()")
		if len(w) <= 16 && !strings.ContainsFunc(w, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && r != '/' }) {
			kind = append(kind, w)
		}
	}
	return strings.Join(kind, " ")
}

// printable takes out what would write on an operator's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd' {
			return '?'
		}
		return r
	}, s)
}
