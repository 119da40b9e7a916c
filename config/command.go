package config

import (
	"strings"
	"unicode"
)

func argv(field func(*Settings) *[]string) kind {
	return kind{name: "command", set: func(s *Settings, v string) *complaint {
		args, ok := splitCommand(v)
		if !ok {
			return complain("close every quote, or write a script and name it here", "%s ends inside a quote", quote(v))
		}
		if len(args) == 0 || args[0] == "" || strings.ContainsRune(v, 0) {
			return complain("write a program and its arguments", "%s is no command", quote(v))
		}
		*field(s) = args
		return nil
	}}
}

// splitCommand splits at spaces as a shell does: quotes and backslashes keep
// characters together; nothing is expanded. It reports whether all quotes are closed.
func splitCommand(v string) (args []string, ok bool) {
	var (
		arg    strings.Builder
		inArg  bool
		quoted rune // the open quote, or 0
		escape bool
	)
	for _, r := range v {
		switch {
		case escape:
			if quoted == '"' && r != '"' && r != '\\' {
				arg.WriteByte('\\')
			}
			arg.WriteRune(r)
			escape = false
		case r == '\\' && quoted != '\'':
			escape, inArg = true, true
		case quoted != 0:
			if r == quoted {
				quoted = 0
			} else {
				arg.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quoted, inArg = r, true
		case unicode.IsSpace(r):
			if inArg {
				args = append(args, arg.String())
				arg.Reset()
				inArg = false
			}
		default:
			arg.WriteRune(r)
			inArg = true
		}
	}
	if inArg {
		args = append(args, arg.String())
	}
	return args, quoted == 0 && !escape
}
