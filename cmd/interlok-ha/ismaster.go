package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) isMasterVerb() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "is-master [--instance NAME | --socket PATH] [-q]",
		Short: "Exit 0 if it is master, 1 if a slave, 3 if that is unknown",
		Args:  noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing, only exit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		role, err := a.role(cmd, t)
		if quiet {
			if _, ok := errors.AsType[*exit](err); ok {
				return err // bad usage is told all the same
			}
			if err != nil {
				return &exit{code: exitNotReached}
			}
		} else if err == nil {
			err = a.print(map[string]string{"role": role}, func(w io.Writer, _ style) { fmt.Fprintln(w, role) })
		}
		// Whatever keeps the answer away, 1 would say "slave".
		if e, ok := errors.AsType[*admin.Error](err); ok {
			return &exit{code: exitNotReached, err: err, hint: e.Mend}
		}
		if err != nil {
			return err
		}
		if role != admin.RoleMaster {
			return &exit{code: exitFailed}
		}
		return nil
	}
	return cmd
}

func (a *app) role(cmd *cobra.Command, t *target) (string, error) {
	c, err := a.client(t)
	if err != nil {
		return "", err
	}
	s, err := c.Status(cmd.Context())
	if err != nil {
		return "", err
	}
	switch role := s.Instance.Role; role {
	case admin.RoleMaster, admin.RoleSlave:
		return role, nil
	default:
		return "", &admin.Error{Kind: admin.KindNotReached, Detail: "the instance does not say which role it has: " + quoted(role)}
	}
}
