package hook

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	answerTime = 15 * time.Second // longer than the instance waits for a fence
	idleTime   = time.Second      // a connection unused for longer may be closed by now
)

// client speaks as much HTTP as the report needs. The net packages would be
// the greater part of a small program.
type client struct {
	path string
	conn *os.File
	read *bufio.Reader
	used time.Time
	buf  []byte
}

// reply is what the instance says.
type reply struct {
	status       int
	taken        int
	kind, detail string        // of a problem
	left         time.Duration // of a fence
	after        time.Duration // to wait before the next try
}

// post sends a batch and reads the answer.
func (c *client) post(batch []event) (reply, error) {
	if c.conn != nil && time.Since(c.used) > idleTime {
		c.close()
	}
	if c.conn == nil {
		conn, err := dial(c.path)
		if err != nil {
			return reply{}, err
		}
		c.conn, c.read = conn, bufio.NewReader(conn)
	}
	body := c.body(batch)
	head := "POST /v1/steps HTTP/1.1\r\nHost: interlok-ha\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n"
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		c.close()
		return reply{}, err
	}
	_, err := c.conn.Write(append([]byte(head), body...))
	var a reply
	if err == nil {
		a, err = c.answer()
	}
	if err != nil {
		c.close()
		return reply{}, err
	}
	c.used = time.Now()
	return a, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// answer reads a response. It knows its own side only: no trailers, no answer
// without a length but the last one.
func (c *client) answer() (reply, error) {
	line, err := c.line()
	if err != nil {
		return reply{}, err
	}
	parts := strings.SplitN(line, " ", 3)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "HTTP/1.") {
		return reply{}, errors.New("the answer is not HTTP")
	}
	a := reply{}
	if a.status, err = strconv.Atoi(parts[1]); err != nil {
		return reply{}, errors.New("the answer is not HTTP")
	}
	length, last := -1, false
	for {
		if line, err = c.line(); err != nil {
			return reply{}, err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > 1<<20 {
				return reply{}, errors.New("the answer has no sound length")
			}
		case "connection":
			last = strings.EqualFold(value, "close")
		case "retry-after":
			if s, err := strconv.Atoi(value); err == nil && s >= 0 {
				a.after = min(time.Duration(s)*time.Second, 5*time.Second)
			}
		}
	}
	if length < 0 {
		return reply{}, errors.New("the answer has no length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.read, body); err != nil {
		return reply{}, err
	}
	if last {
		c.close()
	}
	text := string(body)
	a.taken = int(number(text, "taken"))
	a.left = time.Duration(number(text, "forMs")) * time.Millisecond
	a.kind, a.detail = word(text, "kind"), word(text, "detail")
	if a.detail == "" {
		a.detail = "HTTP " + strconv.Itoa(a.status)
	}
	return a, nil
}

func (c *client) line() (string, error) {
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// number is the value of a field of flat JSON, or 0.
func number(text, field string) int64 {
	rest := value(text, field)
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseInt(rest[:end], 10, 64) // 0 for none
	return n
}

// word is the text of a field, as far as it needs no escapes.
func word(text, field string) string {
	rest, ok := strings.CutPrefix(value(text, field), `"`)
	if !ok {
		return ""
	}
	text, _, _ = strings.Cut(rest, `"`)
	return strings.TrimSuffix(text, `\`)
}

// value is what stands behind a field's name.
func value(text, field string) string {
	_, rest, _ := strings.Cut(text, `"`+field+`":`)
	return strings.TrimLeft(rest, " \n\t")
}

func (c *client) body(batch []event) []byte {
	b := append(c.buf[:0], '[')
	for i, e := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(append(b, `{"id":`...), e.id)
		b = quote(append(b, `,"kind":`...), e.step.kind)
		b = quote(append(b, `,"step":`...), e.step.name)
		b = quote(append(b, `,"phase":`...), e.phase)
		if e.text != "" {
			b = quote(append(b, `,"error":`...), e.text)
		}
		if e.fence != nil {
			b = append(b, `,"fence":true`...)
		}
		b = append(b, '}')
	}
	c.buf = append(b, ']')
	return c.buf
}

// quote adds a JSON string. What is no UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}
