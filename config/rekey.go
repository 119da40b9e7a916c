package config

import "fmt"

const (
	keyFileKey   = "failover.key.file"
	tokenFileKey = "failover.admin.token.file"
)

// KeyFile is the path of the file that Keys came from; empty: there is none.
func (s *Settings) KeyFile() string { return s.fileOf(keyFileKey) }

// TokenFile is the path of the file that Admin.Token came from; empty: there is
// none.
func (s *Settings) TokenFile() string { return s.fileOf(tokenFileKey) }

func (s *Settings) fileOf(key string) string {
	for _, row := range s.shown {
		if row.Key == key {
			return row.Value
		}
	}
	return ""
}

// RereadKeys reads the key file again, by the rules of [Load]. The settings stay
// as they are. The error names the file and what to do.
func (s *Settings) RereadKeys() ([]Secret, error) {
	name := s.KeyFile()
	if name == "" {
		return nil, fmt.Errorf("read keys: there is no %s; put the keys into a file, name it there and restart", keyFileKey)
	}
	return ReadKeyFile(name)
}

// RereadToken reads the file of the HTTP API's token again, likewise.
func (s *Settings) RereadToken() (string, error) {
	name := s.TokenFile()
	if name == "" {
		return "", fmt.Errorf("read the token: there is no %s; name a file there and restart", tokenFileKey)
	}
	token, bad := readTokenFile(name)
	if bad != nil {
		return "", fmt.Errorf("read the token: %s; %s", bad.wrong, bad.instead)
	}
	return token, nil
}
