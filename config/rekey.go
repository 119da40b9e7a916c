package config

import "fmt"

const keyFileKey = "failover.key.file"

// KeyFile is the path of the file that Keys came from; empty: there is none.
func (s *Settings) KeyFile() string {
	for _, row := range s.shown {
		if row.Key == keyFileKey {
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
