package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
)

// element is one element of an XML text, with the lines of its parts.
type element struct {
	name  string
	line  int // of its <
	attrs []attribute
	kids  []*element
}

// attribute is an attribute, or one item of a property list, with the line its
// value begins on.
type attribute struct {
	name, value string
	line        int
}

// attr finds an attribute; nil: there is none.
func (e *element) attr(name string) *attribute {
	for i := range e.attrs {
		if e.attrs[i].name == name {
			return &e.attrs[i]
		}
	}
	return nil
}

// parseXML reads a whole text and gives its root. Namespaces and what belongs
// to them fall away. A document type is passed over: nothing it declares is
// expanded or opened. A complaint comes with the line it is about.
func parseXML(b []byte) (root *element, line int, bad *complaint) {
	text, bad := decodeXML(b)
	if bad != nil {
		return nil, 1, bad
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // decoded already
	var open []*element
	for {
		line, _ := d.InputPos()
		from := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, faultLine(d, err), complain("correct the XML", "not well-formed: %s", faultText(err))
		}
		switch t := token.(type) {
		case xml.StartElement:
			e, bad := startElement(t, text[from:d.InputOffset()], line)
			switch {
			case bad != nil:
				return nil, line, bad
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.kids = append(parent.kids, e)
			case root != nil:
				return nil, line, complain("keep the first", "there is a second root element, <%s>", e.name)
			default:
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	if root == nil {
		return nil, 1, complain("write <ehcache> … </ehcache>", "there is no element")
	}
	return root, 0, nil
}

// startElement takes one tag; tag is its text.
func startElement(t xml.StartElement, tag string, line int) (*element, *complaint) {
	e := &element{name: t.Name.Local, line: line}
	lines := valueLines(tag, line)
	seen := make(map[xml.Name]bool, len(t.Attr))
	for i, a := range t.Attr {
		if seen[a.Name] {
			return nil, complain("keep one of the two", "<%s> has the attribute %s twice", e.name, a.Name.Local)
		}
		seen[a.Name] = true
		if a.Name.Space != "" || a.Name.Local == "xmlns" {
			continue
		}
		at := line
		if i < len(lines) {
			at = lines[i]
		}
		e.attrs = append(e.attrs, attribute{name: a.Name.Local, value: a.Value, line: at})
	}
	return e, nil
}

// valueLines are the lines on which the quoted values of a tag begin. The
// decoder has checked the tag and does not tell them.
func valueLines(tag string, line int) []int {
	var lines []int
	var quoted byte // the open quote, or 0
	for i := range len(tag) {
		switch c := tag[i]; {
		case c == '\n':
			line++
		case quoted == 0 && (c == '"' || c == '\''):
			quoted = c
			lines = append(lines, line)
		case c == quoted:
			quoted = 0
		}
	}
	return lines
}

var declaredEncoding = regexp.MustCompile(`^\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"']*)["']`)

// decodeXML takes the encodings that Java files are commonly written in.
func decodeXML(b []byte) (string, *complaint) {
	const instead = "save it as text in UTF-8 or ISO-8859-1"
	if bytes.HasPrefix(b, []byte("\xfe\xff")) || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.IndexByte(b, 0) >= 0 {
		return "", complain(instead, "not an XML text in a known encoding (it has NUL bytes or is UTF-16)")
	}
	marked := bytes.HasPrefix(b, []byte("\xef\xbb\xbf"))
	text := string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	encoding := "utf-8"
	if m := declaredEncoding.FindStringSubmatch(text[:min(len(text), 1000)]); m != nil && !marked {
		encoding = strings.ToLower(m[1])
	}
	switch encoding {
	case "utf-8", "utf8", "us-ascii", "ascii": // the decoder refuses what is not UTF-8
	case "iso-8859-1", "iso8859-1", "iso_8859-1", "iso8859_1", "latin1", "latin-1":
		runes := make([]rune, len(text))
		for i := range len(text) {
			runes[i] = rune(text[i])
		}
		text = string(runes)
	default:
		return "", complain(instead, "the encoding %s is not known here", quote(encoding))
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, "\r", "\n"), nil
}

func faultLine(d *xml.Decoder, err error) int {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return syntax.Line
	}
	line, _ := d.InputPos()
	return line
}

func faultText(err error) string {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return syntax.Msg
	}
	return strings.TrimPrefix(err.Error(), "xml: ")
}
