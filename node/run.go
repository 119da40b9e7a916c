package node

import (
	"context"
	"errors"
	"os"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// Config is what [Run] needs. The zero value takes part with the default
// settings, and is silent.
type Config struct {
	// File is a bootstrap.properties; empty: none. Set are KEY=VALUE pairs that
	// go before it.
	File string
	Set  []string
	// Environ is the environment, as os.Environ gives it: INTERLOK_HA_* in it
	// are settings, and it says where state and sockets are kept. Nil: none, and
	// the user's home.
	Environ []string
	// Settings, if given, stand for all of the above but where the socket is.
	Settings *config.Settings
	// Plugins hear the hooks under these names, if the settings name them.
	Plugins map[string]profiler.Plugin
	// Log must not wait for whoever reads it: a writer that blocks blocks the
	// instance, and with it its heartbeats. Give it [NewLogWriter], and LogDropped
	// that one's Dropped for the metrics; nil: they have no such number.
	Log        zerolog.Logger
	LogDropped func() uint64
	// Keeper: the death of this process is told to the peers at once, by a
	// keeper: a child of the same binary, which must call workload.KeeperMain
	// when its first argument is "keeper". Without it they learn it by silence.
	Keeper bool
	// Reload: at each value the files of the keys and of the HTTP API's token are
	// read again, as interlok-ha run does at SIGHUP. Nil: never.
	Reload <-chan os.Signal
	// SocketPath is where the API listens; empty: where the command line looks.
	SocketPath string
	// Abort is called when mastership has ended and work does not return in
	// time: only the end of the process stops it then. Nil: print why, exit 70.
	Abort   func(why string)
	Version string
}

// Run takes part in the cluster until ctx ends, and calls work each time this
// instance becomes master. The ctx of work ends when mastership does; work must
// return then, in failover.workload.fence.timeout or, in a planned hand-over,
// failover.workload.stop.timeout. If it does not, Config.Abort is called.
//
// When work returns nil while it is master, Run hands over and returns nil.
// When it returns an error, failover.workload.restart says what follows, as
// for a command. A panic of work is not held up: the process ends, and a
// successor takes over.
//
// Run returns nil after ctx ended, when work has returned and the role has been
// handed over.
func Run(ctx context.Context, cfg Config, work func(ctx context.Context, m *Master) error) error {
	if work == nil {
		return errors.New("node: no work is given")
	}
	s, environ, err := cfg.settings()
	if err != nil {
		return err
	}
	socket := cfg.SocketPath
	if socket == "" {
		root := config.SocketRoot(environ, os.Geteuid(), os.TempDir(), config.CanCreate)
		if socket, err = config.SocketPath(root, s.Cluster, s.Name); err != nil {
			return err
		}
	}
	for _, warning := range s.Warnings {
		cfg.Log.Warn().Msg(warning)
	}
	n, err := New(Options{
		Settings: s, Environ: environ, Work: work, Abort: cfg.Abort, Plugins: cfg.Plugins, Log: cfg.Log, LogDropped: cfg.LogDropped,
		Stderr: os.Stderr, Keeper: cfg.Keeper, Reload: cfg.Reload, SocketPath: socket, Version: cfg.Version,
	})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

// settings are those of the instance, and the environment that they come from.
func (c *Config) settings() (*config.Settings, []string, error) {
	environ := c.Environ
	if environ == nil {
		if home, err := os.UserHomeDir(); err == nil {
			environ = []string{"HOME=" + home}
		}
	}
	if c.Settings != nil {
		return c.Settings, environ, nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // a fault only if no name is given
	}
	s, err := config.Load(config.Source{File: c.File, Environ: environ, Sets: c.Set, Hostname: host, Root: os.Geteuid() == 0, Home: config.Home})
	return s, environ, err
}
