package weave

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
)

const (
	hookPath     = "github.com/interlok-ha/interlok-ha/weave/hook"
	profilerPath = "github.com/interlok-ha/interlok-ha/profiler"
	// hookDir is where a program without our module finds its copy. A pattern
	// as ./... passes over testdata.
	hookDir = "testdata/interlok-ha/hook"
)

// hookSource is what is copied. The file that knows package profiler is not.
//
//go:embed hook/doc.go hook/step.go hook/report.go hook/client.go hook/dial_linux.go hook/dial_others.go
var hookSource embed.FS

// Config says what is to be woven.
type Config struct {
	Args    []string // of the go command: build -o x ./cmd/x
	Dir     string   // to run it in; empty: the present one
	Temp    string   // an existing folder for the woven files, until the go command has ended
	Environ []string // of the go command
	Go      string   // the go command; empty: go
	Fence   bool     // fence all producers that can return an error
}

// Result is a woven program.
type Result struct {
	Args     []string // to run the go command with
	Points   []*Point
	Warnings []Warning
}

// Weave writes the woven files and says how to build with them.
//
// An error of the program itself is none here: the go command will tell it. It
// fails if the arguments cannot be understood, or go list does not run.
func Weave(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Go == "" {
		cfg.Go = "go"
	}
	cmd, err := parse(cfg.Args)
	if err != nil {
		return nil, err
	}
	l := &loader{cfg: cfg, cmd: cmd, fset: token.NewFileSet(), info: &types.Info{Defs: map[*ast.Ident]types.Object{}}}
	if l.replace, err = readOverlay(cfg, cmd); err != nil {
		return nil, err
	}
	pkgs, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	points, warnings := l.find(pkgs)
	overlay := map[string]string{}
	for name, on := range l.replace {
		overlay[name] = on
	}
	if len(points) > 0 {
		if err := l.write(ctx, pkgs, points, overlay); err != nil {
			return nil, fmt.Errorf("write woven files: %w", err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	name := filepath.Join(cfg.Temp, "overlay.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, err
	}
	return &Result{Args: cmd.with(name), Points: points, Warnings: warnings}, nil
}

// readOverlay is what the caller replaces himself.
func readOverlay(cfg Config, cmd command) (map[string]string, error) {
	if cmd.overlay == "" {
		return nil, nil
	}
	b, err := os.ReadFile(cmd.in(cfg.Dir, cmd.overlay))
	if err != nil {
		return nil, fmt.Errorf("read the overlay: %w", err)
	}
	var o struct{ Replace map[string]string }
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("read the overlay %s: %w", cmd.overlay, err)
	}
	m := make(map[string]string, len(o.Replace))
	for name, on := range o.Replace {
		if on != "" {
			on = cmd.in(cfg.Dir, on)
		}
		abs, err := filepath.Abs(cmd.in(cfg.Dir, name))
		if err != nil {
			return nil, err
		}
		m[abs] = on
	}
	return m, nil
}

// write writes the woven files, and the copy of the hooks if one is needed.
func (l *loader) write(ctx context.Context, pkgs []*source, points []*Point, overlay map[string]string) error {
	hook := hookPath
	if !l.linked {
		m, err := l.home(ctx, pkgs)
		if err != nil {
			return err
		}
		hook = path.Join(m.Path, hookDir)
		if err := l.copyHook(filepath.Join(m.Dir, filepath.FromSlash(hookDir)), overlay); err != nil {
			return err
		}
	}
	n := 0
	for _, s := range pkgs {
		for _, f := range s.files {
			var here []*Point
			for _, p := range points {
				if p.file == f {
					here = append(here, p)
				}
			}
			var flush *ast.FuncDecl
			if s.Name == "main" && !imports(f.ast, "C") {
				flush = mainFunc(f)
			}
			if len(here) == 0 && flush == nil {
				continue
			}
			n++
			on := filepath.Join(l.cfg.Temp, fmt.Sprintf("%d_%s", n, filepath.Base(f.name)))
			if err := os.WriteFile(on, rewrite(l.fset, f, hook, here, flush), 0o600); err != nil {
				return err
			}
			overlay[f.name] = on
		}
	}
	return nil
}

// home is the module that gets the copy: one for all modules of a workspace, so
// that their steps know of each other.
func (l *loader) home(ctx context.Context, pkgs []*source) (*module, error) {
	for _, s := range slices.Backward(pkgs) {
		if s.Module != nil && s.Module.Dir != "" {
			return s.Module, nil
		}
	}
	// Files that stand on the command line belong to the module around them.
	all, err := l.goList(ctx, "-m", "-json=Path,Dir")
	if err == nil && len(all) > 0 && all[0].Path != "command-line-arguments" && all[0].Dir != "" {
		return &module{Path: all[0].Path, Dir: all[0].Dir}, nil
	}
	return nil, errors.New("the program belongs to no module: weaving needs a go.mod")
}

func (l *loader) copyHook(dir string, overlay map[string]string) error {
	entries, err := hookSource.ReadDir("hook")
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := hookSource.ReadFile("hook/" + e.Name())
		if err != nil {
			return err
		}
		on := filepath.Join(l.cfg.Temp, "hook_"+e.Name())
		if err := os.WriteFile(on, b, 0o600); err != nil {
			return err
		}
		overlay[filepath.Join(dir, e.Name())] = on
	}
	return nil
}

func mainFunc(f *file) *ast.FuncDecl {
	for _, d := range f.ast.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Name.Name == "main" && d.Recv == nil && d.Body != nil {
			return d
		}
	}
	return nil
}
