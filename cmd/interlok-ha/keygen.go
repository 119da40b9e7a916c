package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/spf13/cobra"
)

func (a *app) keygenVerb() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen [--out FILE]",
		Short: "Draw a key for failover.key.file",
		Long: `Draw a random key and print it. All instances of a cluster need the same one:
write it to a file that only their user can read, and name that file in
failover.key.file. --out makes such a file; it never replaces one. What it draws
will also do as a token for failover.admin.token.file.`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&out, "out", "", "write the key to a new `FILE`, mode 0600, instead")
	cmd.RunE = func(*cobra.Command, []string) error {
		key, err := config.Keygen(rand.Reader)
		if err != nil {
			return err
		}
		if out != "" {
			return writeKey(out, key)
		}
		return a.print(map[string]string{"key": key}, func(w io.Writer, _ style) { fmt.Fprintln(w, key) })
	}
	return cmd
}

func writeKey(name, key string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &exit{code: exitFailed, err: fmt.Errorf("%s is there already", name), hint: "a key that is in use must not be lost: choose another file"}
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = fmt.Fprintln(f, key)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}
