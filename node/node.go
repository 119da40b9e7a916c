// Package node is one assembled instance. PLACEHOLDER: only the API stands
// here, so that the command line compiles.
package node

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/rs/zerolog"
)

// Options are what an instance is made of.
type Options struct {
	Settings       *config.Settings
	Command        []string
	Stdout, Stderr io.Writer
	Stdin          io.Reader
	Log            zerolog.Logger
	Now            <-chan struct{} // closed: stop at once, without hand-over
	SocketPath     string
	Version        string
}

// Node is one instance.
type Node struct{ o Options }

// ExitError says that the end of COMMAND ended the run.
type ExitError struct{ Code int }

// Error is the code in words.
func (e *ExitError) Error() string { return "exit " + strconv.Itoa(e.Code) }

// New makes an instance.
func New(o Options) (*Node, error) { return &Node{o}, nil }

// Run takes part until ctx ends.
func (n *Node) Run(context.Context) error { return errors.New("node: not built yet") }
