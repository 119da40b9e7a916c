package workload

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reign is what COMMAND is told about the mastership it runs under. An empty
// field is not told at all, and not inherited from the base environment
// either.
type Reign struct {
	Token     string   // INTERLOK_HA_TOKEN, the fencing token; empty in the 3.3 design
	Epoch     uint64   // INTERLOK_HA_EPOCH, told only with a Token
	Cluster   string   // INTERLOK_HA_CLUSTER
	Instance  string   // INTERLOK_HA_INSTANCE, the instance's name
	ID        [16]byte // INTERLOK_HA_ID, as 32 hex digits
	Socket    string   // INTERLOK_HA_SOCKET, path of the instance's Unix socket
	TokenFile string   // INTERLOK_HA_TOKEN_FILE; see [WriteTokenFile]
}

// runVariable marks every process of one run, so that the node can find those
// that a killed keeper left behind.
const runVariable = "INTERLOK_HA_RUN"

// environ returns base without any of our own variables, and then those of
// this reign and run.
func (r Reign) environ(base []string, run string) []string {
	epoch := ""
	if r.Token != "" {
		epoch = fmt.Sprintf("%020d", r.Epoch)
	}
	ours := []struct{ name, value string }{
		{"INTERLOK_HA_TOKEN", r.Token},
		{"INTERLOK_HA_EPOCH", epoch},
		{"INTERLOK_HA_CLUSTER", r.Cluster},
		{"INTERLOK_HA_INSTANCE", r.Instance},
		{"INTERLOK_HA_ID", hex.EncodeToString(r.ID[:])},
		{"INTERLOK_HA_SOCKET", r.Socket},
		{"INTERLOK_HA_TOKEN_FILE", r.TokenFile},
		{runVariable, run},
	}
	env := slices.DeleteFunc(slices.Clone(base), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		for _, v := range ours {
			if v.name == name {
				return true
			}
		}
		return false
	})
	for _, v := range ours {
		if v.value != "" {
			env = append(env, v.name+"="+v.value)
		}
	}
	return env
}

// WriteTokenFile puts token and a newline into the file at path, readable by
// its owner only. The file is replaced in one step: a reader sees the old
// token or the new one, never a part.
func WriteTokenFile(path, token string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write token file: %w", err)
	}
	_, err = tmp.WriteString(token + "\n")
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write token file %s: %w", path, err)
	}
	return nil
}
