package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
	"github.com/spf13/cobra"
)

// settings are the flags from which an instance's settings are read.
type settings struct {
	sets []string // KEY=VALUE, in the order in which they were written
}

func settingsFlags(cmd *cobra.Command) *settings {
	s := &settings{}
	f := cmd.Flags()
	put := func(prefix string) func(string) error {
		return func(v string) error {
			s.sets = append(s.sets, prefix+v)
			return nil
		}
	}
	f.Func("set", "set one key, `KEY=VALUE`, over file and environment; may be repeated", put(""))
	f.Func("name", "short for --set failover.name=`NAME`", put("failover.name="))
	f.Func("cluster", "short for --set failover.cluster=`CLUSTER`", put("failover.cluster="))
	_ = cmd.RegisterFlagCompletionFunc("set", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var words []string
		for _, k := range config.Keys() {
			words = append(words, cobra.CompletionWithDesc(k.Name+"=", k.Help))
		}
		return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
	return s
}

// load reads the settings as run does: file, environment, flags.
func (a *app) load(s *settings, file string) (*config.Settings, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "" // config asks for failover.name then
	}
	loaded, err := config.Load(config.Source{File: file, Environ: a.environ, Sets: s.sets, Hostname: host, Root: os.Geteuid() == 0, Home: config.Home})
	if err != nil {
		return nil, err
	}
	return loaded, node.CheckPlugins(loaded, nil)
}

func (a *app) configVerb() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "config check|show",
		Short: "Check a configuration file, or show what counts and why",
	})
	cmd.AddCommand(a.configCheckVerb(), a.configShowVerb())
	return cmd
}

// fault is one fault in -o json and yaml.
type fault struct {
	Place   string `json:"place"`
	Key     string `json:"key"`
	Wrong   string `json:"wrong"`
	Instead string `json:"instead"`
}

// checked is the whole answer of config check.
type checked struct {
	File     string   `json:"file"`
	Good     bool     `json:"good"`
	Faults   []fault  `json:"faults"`
	Warnings []string `json:"warnings"`
}

func (a *app) configCheckVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE [--set KEY=VALUE]...",
		Short: "Tell every fault of a configuration file; exit 4 if there is one",
		Args:  oneFile,
	}
	s := settingsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		answer := checked{File: args[0], Good: true, Faults: []fault{}, Warnings: []string{}}
		loaded, err := a.load(s, args[0])
		faults, faulty := errors.AsType[config.Faults](err)
		switch {
		case faulty:
			answer.Good = false
			for _, f := range faults {
				answer.Faults = append(answer.Faults, fault{f.Place, f.Key, f.Wrong, f.Instead})
			}
		case err != nil:
			return err
		default:
			answer.Warnings = append(append(answer.Warnings, loaded.Warnings...), node.CheckHere(loaded)...)
		}
		err = a.print(answer, func(w io.Writer, st style) {
			for _, f := range faults {
				fmt.Fprintln(w, f.Error())
			}
			for _, warning := range answer.Warnings {
				fmt.Fprintln(w, st.yellow("warning: ")+warning)
			}
			if answer.Good {
				fmt.Fprintf(w, "%s: %s\n", args[0], st.green("good"))
			}
		})
		if err == nil && faulty {
			err = &exit{code: exitFaults, err: fmt.Errorf("%s in %s", count(len(faults), "fault"), args[0])}
		}
		return err
	}
	return cmd
}

// shown is one line of config show in -o json and yaml.
type shown struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

func (a *app) configShowVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [FILE] [--set KEY=VALUE]...",
		Short: "Show each key's value and where it comes from; secrets are masked",
		Args:  cobra.MaximumNArgs(1),
	}
	s := settingsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := a.load(s, first(args))
		if err != nil {
			return err
		}
		var all []shown
		for _, line := range loaded.Show() {
			all = append(all, shown{line.Key, line.Value, line.Origin})
		}
		for _, warning := range loaded.Warnings {
			fmt.Fprintf(a.stderr, "interlok-ha: warning: %s\n", warning)
		}
		return a.print(all, func(w io.Writer, st style) {
			printLine(w, st.faint("design ")+string(loaded.Design))
			showTable(w, st, all)
		})
	}
	return cmd
}

// showTable sets what was given apart from the defaults. A line with a long
// value is long: a value cut short could not be copied.
func showTable(w io.Writer, st style, all []shown) {
	key, value := 0, 0
	for _, s := range all {
		key = max(key, len(s.Key))
		if len(s.Value) <= 24 {
			value = max(value, len(s.Value))
		}
	}
	fmt.Fprintln(w, st.faint(fmt.Sprintf("%-*s  %-*s  %s", key, "KEY", value, "VALUE", "FROM")))
	for _, s := range all {
		origin, paint := st.faint(s.Origin), func(t string) string { return t }
		if s.Origin != "default" {
			origin, paint = s.Origin, st.bold
		}
		printLine(w, fmt.Sprintf("%s  %-*s  %s", paint(fmt.Sprintf("%-*s", key, s.Key)), value, orDash(s.Value), origin))
	}
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError("config check needs one FILE", "write for example: interlok-ha config check bootstrap.properties")
	}
	return nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
