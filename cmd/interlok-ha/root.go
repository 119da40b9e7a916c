package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/interlok-ha/interlok-ha/node"
)

// app is one call of the program: its streams and the flags all verbs share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	hung           chan os.Signal  // SIGHUP, of run
	pipe           chan os.Signal  // SIGPIPE, of run
	log            *node.LogWriter // of run: to stderr

	output    string // table, json or yaml
	logFormat string // console or json
	logLevel  string
}

// getenv is the last value of a variable, as in os.Environ's order.
func (a *app) getenv(name string) string {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if n, v, ok := strings.Cut(a.environ[i], "="); ok && n == name {
			return v
		}
	}
	return ""
}

// execute runs one verb and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	code := exitDone
	if err := root.ExecuteContext(ctx); err != nil {
		code = a.fail(err)
	}
	if a.log != nil {
		a.log.Flush(flushTime)
	}
	signal.Stop(a.pipe)
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "interlok-ha",
		Short: "Run a program on exactly one of several machines",
		Long: `interlok-ha runs a program on one of several machines: the master. The others
wait as slaves, and one of them takes over when the master is gone. No server
is needed. The instances find each other by multicast.

  interlok-ha demo                    on one machine: see how that goes
  interlok-ha run -- ./my-service     on each machine: take part
  interlok-ha status                  who is master, who waits
  interlok-ha switchover              hand over on purpose`,
		Version:           readBuild(debug.ReadBuildInfo()).Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              a.noSuchVerb,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "print data as `FORMAT`: table, json or yaml")
	f.StringVar(&a.logFormat, "log-format", "console", "write logs as `FORMAT`: console or json")
	f.StringVar(&a.logLevel, "log-level", "info", "log from `LEVEL` up: trace, debug, info, warn or error")
	complete(root, "output", "table", "json", "yaml")
	complete(root, "log-format", "console", "json")
	complete(root, "log-level", logLevels...)

	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(err.Error(), "see `"+cmd.CommandPath()+" --help`")
	})
	root.AddGroup(&cobra.Group{ID: "part", Title: "Take part:"},
		&cobra.Group{ID: "ask", Title: "Ask an instance:"},
		&cobra.Group{ID: "order", Title: "Give an order:"},
		&cobra.Group{ID: "help", Title: "Prepare and help:"})
	root.SetHelpCommandGroupID("help")
	root.SetCompletionCommandGroupID("help")
	add := func(group string, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID = group
			root.AddCommand(v)
		}
	}
	add("part", a.runVerb(), a.demoVerb())
	add("ask", a.statusVerb(), a.isMasterVerb(), a.eventsVerb(), a.cacheVerb())
	add("order", a.switchoverVerb(), a.drainVerb(), a.resumeVerb(), a.promoteVerb(), a.maintenanceVerb())
	add("help", a.weaveVerb(), a.configVerb(), a.keygenVerb(), a.versionVerb())
	root.SetHelpCommand(a.helpVerb(root))
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Short = "Print a script that completes verbs, flags and names in a shell"
			group(c)
		}
	}
	a.prepare(root)
	return root
}

// usageTemplate is cobra's, shorter, and no wider than 80 columns.
const usageTemplate = `Usage:
  {{if .HasParent}}{{.UseLine}}{{else}}{{.CommandPath}} VERB{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{range $g := .Groups}}

{{.Title}}{{range $.Commands}}{{if and (eq .GroupID $g.ID) (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if and .HasAvailableSubCommands (not .Groups)}}

Verbs:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all verbs:
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}
`

// helpVerb is cobra's, but for an error where that prints two screens.
func (a *app) helpVerb(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Tell how a verb is used",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return a.noSuchVerb(root, args)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range root.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// noSuchVerb names the verb that was probably meant.
func (a *app) noSuchVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`interlok-ha help` lists the verbs"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return usageError("there is no verb "+quoted(args[0]), hint)
}

// prepare has every verb check the shared flags first and tell its own errors
// from cobra's, which are all about usage.
func (a *app) prepare(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		a.prepare(c)
	}
	cmd.DisableFlagsInUseLine = true
	cmd.SuggestionsMinimumDistance = 2
	work := cmd.RunE
	if work == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.checkFlags(); err != nil {
			return ran{err}
		}
		if err := work(cmd, args); err != nil {
			return ran{err}
		}
		return nil
	}
}

func (a *app) checkFlags() error {
	for _, f := range []struct {
		flag, value string
		allowed     []string
	}{
		{"--output", a.output, []string{"table", "json", "yaml"}},
		{"--log-format", a.logFormat, []string{"console", "json"}},
		{"--log-level", a.logLevel, logLevels},
	} {
		if !contains(f.allowed, f.value) {
			return usageError(f.flag+" "+quoted(f.value)+" is not known", "write one of "+strings.Join(f.allowed, ", "))
		}
	}
	return nil
}

// noArgs is for verbs that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(cmd.Name()+" takes no argument, and got "+quoted(args[0]), "see `"+cmd.CommandPath()+" --help`")
}

// group is a verb that only holds others.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs // told below, better than cobra does
	c.RunE = func(cmd *cobra.Command, args []string) error {
		names := []string{}
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		what := cmd.Name() + " needs one of: " + strings.Join(names, ", ")
		if len(args) > 0 {
			what = cmd.Name() + " has no " + quoted(args[0])
		}
		return usageError(what, "see `"+cmd.CommandPath()+" --help`")
	}
	return c
}

func complete(cmd *cobra.Command, flag string, values ...string) {
	// The error says that the flag is not there, which the first test would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
