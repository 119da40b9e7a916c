package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"unicode"
)

// The least a token must have, so that nobody guesses it: 128 bits, if each
// character was drawn by chance.
const (
	minToken    = 22   // characters, six bits each
	minHexToken = 32   // hexadecimal digits, four bits each
	maxToken    = 4096 // characters; a header takes no more than 16 KiB in all
	minVariety  = 8    // different characters; chance has fewer once in a million
)

const makeToken = "make one with `interlok-ha keygen --out FILE`"

func tokenFile(field func(*Settings) *string) kind {
	return kind{name: "path", paths: true, reads: true, set: func(s *Settings, v string) *complaint {
		token, bad := readTokenFile(v)
		if bad == nil {
			*field(s) = token
		}
		return bad
	}}
}

func readTokenFile(name string) (string, *complaint) {
	b, info, err := readFile(name)
	if err != nil {
		return "", complain("name a file with one line; "+makeToken, "%v", err)
	}
	if mode, ok := forOthers(info.Mode()); ok {
		return "", complain("run chmod 600 "+name, "others can read %s (mode %04o)", name, mode)
	}
	if bad := ofAnother(name, info); bad != nil {
		return "", bad
	}
	token := strings.TrimSpace(string(b))
	if bad := checkToken(token); bad != "" {
		return "", complain(makeToken, "%s %s", name, bad)
	}
	return token, nil
}

// checkToken says what is wrong with a token, and never shows it.
func checkToken(token string) string {
	switch {
	case token == "":
		return "holds no token"
	case len(token) > maxToken:
		return fmt.Sprintf("holds a token of %d characters; at most %d are sure to fit into a request", len(token), maxToken)
	}
	least, variety := minHexToken, map[rune]bool{}
	for _, r := range token {
		if r <= ' ' || r > unicode.MaxASCII || unicode.IsControl(r) {
			return "holds more than one word, or characters an HTTP header cannot carry"
		}
		if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			least = minToken
		}
		variety[r] = true
	}
	if len(token) < least || len(variety) < minVariety {
		return "holds a token that can be guessed: less than 128 bits"
	}
	return ""
}

// hosts takes names and IP addresses, without ports.
func hosts(field func(*Settings) *[]string) kind {
	return kind{name: "host names, NAME;…", set: func(s *Settings, v string) *complaint {
		const instead = "write host names with ; between them, without ports, such as node-a.example;ha.example"
		var list []string
		for _, item := range splitList(v, ";,") {
			h := unbracket(item)
			if !isHost(h) || strings.Contains(h, "*") {
				return complain(instead, "%s is not a host name", quote(item))
			}
			list = append(list, h)
		}
		if len(list) == 0 {
			return complain(instead, "%s names nobody", quote(v))
		}
		*field(s) = list
		return nil
	}}
}

// relateAdmin checks what the keys of the HTTP API must hold together.
func (l *loader) relateAdmin() {
	const (
		listen, hosts, token = "failover.admin.listen", "failover.admin.hosts", "failover.admin.token.file"
		cert, key, insecure  = "failover.admin.tls.cert", "failover.admin.tls.key", "failover.admin.insecure"
	)
	l.relateTLS(cert, key)
	a := &l.s.Admin
	if !l.has(listen) {
		for _, name := range []string{hosts, token, cert, key, insecure} {
			if l.has(name) {
				l.warn(name, "it has no effect without %s", listen)
			}
		}
		return
	}
	if !l.sound(listen, token, insecure) || isLoopback(a.Listen) {
		return
	}
	switch {
	case l.has(token) && !l.has(cert) && !l.has(key) && !a.Insecure:
		l.clash(token, "write "+cert+" and "+key+", listen on 127.0.0.1, or write "+insecure+"=true",
			"without TLS the token would travel in clear text to %s", a.Listen)
	case l.has(token) && !l.has(cert) && !l.has(key):
		l.warn(insecure, "whoever sees a request to %s has the token, and may then give every order", a.Listen)
	case !l.has(token):
		l.warn(listen, "anyone who reaches %s can read the status and the metrics; without %s nobody can read the cache there or give an order", a.Listen, token)
	}
}

// relateTLS looks whether the certificate and its key can be used.
func (l *loader) relateTLS(cert, key string) {
	missing := false
	for _, name := range []string{cert, key} {
		if l.has(name) && !exists(l.given[name].value) {
			l.clash(name, "name a PEM file that exists", "there is no file %s", l.given[name].value)
			missing = true
		}
	}
	switch {
	case l.has(cert) && !l.has(key):
		l.miss(key, cert, "write "+key+"=FILE beside it", "missing, %s needs it", cert)
		return
	case l.has(key) && !l.has(cert):
		l.miss(cert, key, "write "+cert+"=FILE beside it", "missing, %s needs it", key)
		return
	case missing || !l.has(cert):
		return
	}
	name := l.given[key].value
	if info, err := os.Stat(name); err == nil {
		// A group may be that of those who serve TLS, as Debian's ssl-cert is.
		if mode, ok := forOthers(info.Mode()); ok && mode&0o007 != 0 {
			l.clash(key, "run chmod o-rwx "+name, "others can read %s (mode %04o)", name, mode)
			return
		}
	}
	if _, err := tls.LoadX509KeyPair(l.s.Admin.TLSCert, l.s.Admin.TLSKey); err != nil {
		l.clash(cert, "name a PEM certificate and the PEM key that belongs to it", "%s and %s cannot be used: %v", l.given[cert].value, name, err)
	}
}
