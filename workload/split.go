package workload

import (
	"errors"
	"strings"
)

// SplitCommand cuts the text of a property such as failover.health.command
// into a program and its arguments. Words are parted by spaces and tabs; '…'
// and "…" keep what is between them together and may stand inside a word.
// There is nothing else: no escapes, no variables, no shell. A backslash is a
// backslash. An empty text is no command and no error.
func SplitCommand(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord := false
	for _, r := range text {
		switch {
		case r == 0:
			return nil, errors.New("split command: it holds a NUL byte")
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("split command: the quote " + string(quote) + " is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
