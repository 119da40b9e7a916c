package weave

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what `go list -json` tells of a package, or of a module.
type listed struct {
	ImportPath, Name, Dir, Export, ForTest string
	GoFiles, CgoFiles, Imports             []string
	ImportMap                              map[string]string
	Standard                               bool
	Module                                 *module
	Error                                  *struct{ Err string }

	Path string // of a module
}

type module struct {
	Path, Dir, GoVersion string
	Main                 bool
}

// source is a package of the main module, parsed.
type source struct {
	*listed
	files []*file
	types *types.Package
}

// file is one source file.
type file struct {
	name string // as the go command calls it
	text []byte
	ast  *ast.File
}

// loader reads the packages that a go command is going to build.
type loader struct {
	cfg     Config
	cmd     command
	replace map[string]string // of the caller's own overlay
	fset    *token.FileSet
	info    *types.Info
	linked  bool // the program can import package hook from our module
}

// load returns the packages of the main module, each behind those it imports.
func (l *loader) load(ctx context.Context) ([]*source, error) {
	args := []string{"-deps"}
	if l.cmd.verb == "test" {
		args = append(args, "-test")
	}
	args = append(args, "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,Imports,ImportMap,Standard,Module,ForTest,Error", "--")
	args = append(args, l.cmd.pkgs...)
	if !slices.ContainsFunc(l.cmd.pkgs, func(p string) bool { return strings.HasSuffix(p, ".go") }) {
		if len(l.cmd.pkgs) == 0 {
			args = append(args, ".")
		}
		args = append(args, hookPath) // is it there?
	}
	all, err := l.goList(ctx, args...)
	if err != nil {
		return nil, err
	}
	var own []*source
	var outside []string // what they import from elsewhere
	byPath := map[string]*source{}
	for _, p := range all {
		if p.ImportPath == hookPath && p.Error == nil && p.Dir != "" {
			l.linked = true
		}
		if p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") || !isOwn(p) {
			continue
		}
		s := &source{listed: p}
		own = append(own, s)
		byPath[p.ImportPath] = s
	}
	for _, s := range own {
		for _, path := range s.Imports {
			if mapped := s.ImportMap[path]; mapped != "" {
				path = mapped
			}
			if byPath[path] == nil && path != "C" && path != "unsafe" && !slices.Contains(outside, path) {
				outside = append(outside, path)
			}
		}
	}
	exports, err := l.exports(ctx, outside)
	if err != nil {
		return nil, err
	}
	imp := &packages{own: byPath, other: importer.ForCompiler(l.fset, "gc", func(path string) (io.ReadCloser, error) {
		name := exports[path]
		if name == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(name)
	})}
	for _, s := range own {
		if err := l.check(s, imp); err != nil {
			return nil, err
		}
	}
	return own, nil
}

// isOwn says whether a package can be woven: it belongs to a main module, and
// is none of what the hooks themselves are made of.
func isOwn(p *listed) bool {
	if p.Standard || p.Module == nil && p.ImportPath != "command-line-arguments" || p.Module != nil && !p.Module.Main {
		return false
	}
	return p.ImportPath != hookPath && p.ImportPath != profilerPath && !strings.HasPrefix(p.ImportPath, profilerPath+"/")
}

// exports compiles packages, which the build needs anyway, and returns where
// the export data of each and of all below lie.
func (l *loader) exports(ctx context.Context, paths []string) (map[string]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	all, err := l.goList(ctx, append([]string{"-deps", "-export", "-json=ImportPath,Export", "--"}, paths...)...)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, len(all))
	for _, p := range all {
		m[p.ImportPath] = p.Export
	}
	return m, nil
}

func (l *loader) goList(ctx context.Context, args ...string) ([]*listed, error) {
	cmd := exec.CommandContext(ctx, l.cfg.Go, l.cmd.list(args...)...)
	cmd.Dir, cmd.Env = filepath.Join(l.cfg.Dir, l.cmd.dir), l.cfg.Environ
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		if ctx.Err() == nil && fault.Len() > 0 {
			return nil, errors.New(strings.ReplaceAll(strings.TrimSpace(fault.String()), "\t", "  "))
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []*listed
	for dec := json.NewDecoder(&out); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the output of go list: %w", err)
		}
		all = append(all, p)
	}
}

// check parses a package and finds its types. Faults of the program are left
// to the compiler, which tells them better.
func (l *loader) check(s *source, imp types.Importer) error {
	var trees []*ast.File
	for _, name := range slices.Concat(s.GoFiles, s.CgoFiles) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.Dir, name)
		}
		on := name
		if r, ok := l.replace[name]; ok {
			on = r
		}
		text, err := os.ReadFile(on)
		if err != nil {
			continue
		}
		tree, err := parser.ParseFile(l.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		trees = append(trees, tree)
		s.files = append(s.files, &file{name: name, text: text, ast: tree})
	}
	cfg := types.Config{Importer: imp, Error: func(error) {}, FakeImportC: true, IgnoreFuncBodies: true}
	if s.Module != nil && s.Module.GoVersion != "" {
		cfg.GoVersion = "go" + s.Module.GoVersion
	}
	s.types, _ = cfg.Check(s.ImportPath, l.fset, trees, l.info)
	return nil
}

// packages finds the woven packages among the parsed ones and all others by
// their export data.
type packages struct {
	own   map[string]*source
	other types.Importer
}

func (i *packages) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if s := i.own[path]; s != nil && s.types != nil {
		return s.types, nil
	}
	return i.other.Import(path)
}
