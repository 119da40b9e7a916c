package main

import (
	"os"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/spf13/cobra"
)

// target is the instance that a verb speaks to.
type target struct {
	instance, cluster, socket string
}

// targetFlags adds the flags that choose an instance.
func (a *app) targetFlags(cmd *cobra.Command) *target {
	t := &target{}
	f := cmd.Flags()
	f.StringVar(&t.instance, "instance", "", "`NAME` of the instance; alone on the machine it needs none")
	f.StringVar(&t.cluster, "cluster", "", "its `CLUSTER`, where several run here")
	f.StringVar(&t.socket, "socket", "", "`PATH` of its Unix socket, instead of both")
	_ = cmd.RegisterFlagCompletionFunc("instance", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.found(t.cluster, func(f admin.Found) string { return f.Name }), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("cluster", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.found("", func(f admin.Found) string { return f.Cluster }), cobra.ShellCompDirectiveNoFileComp
	})
	return t
}

// found is what the instances of this machine are called, each once.
func (a *app) found(cluster string, word func(admin.Found) string) []string {
	all, _ := admin.FindAll(a.socketRoot(), cluster, "") // nothing to offer is no fault
	var words []string
	for _, f := range all {
		if w := word(f); !contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// client finds the instance. A command that run started reaches its own by
// default, since INTERLOK_HA_SOCKET stands in its environment.
func (a *app) client(t *target) (*admin.Client, error) {
	if t.socket != "" && (t.instance != "" || t.cluster != "") {
		return nil, usageError("--socket names the instance already", "leave --instance and --cluster out")
	}
	for _, name := range []string{t.instance, t.cluster} {
		if strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			return nil, usageError(quoted(name)+" is no name", "a path goes to --socket")
		}
	}
	if t.socket == "" && t.instance == "" && t.cluster == "" {
		t.socket = a.getenv("INTERLOK_HA_SOCKET")
	}
	if t.socket != "" {
		if err := admin.CheckSocketPath(t.socket); err != nil {
			return nil, err
		}
		return admin.NewClient(t.socket), nil
	}
	f, err := admin.Find(a.socketRoot(), t.cluster, t.instance)
	if err != nil {
		return nil, err
	}
	return admin.NewClient(f.Path), nil
}

// socketRoot is the folder of all sockets of this user.
func (a *app) socketRoot() string {
	return config.SocketRoot(a.environ, os.Geteuid(), os.TempDir(), config.CanCreate)
}
