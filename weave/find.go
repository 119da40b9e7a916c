package weave

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Point is a function that is woven.
type Point struct {
	Pos    token.Position
	Func   string // Validate.Process
	Kind   string // workflow, channel, consumer, service or producer
	Name   string // of the step
	Fenced bool

	file          *file
	decl          *ast.FuncDecl
	ctx, message  int    // places among the parameters; -1: none
	id            string // what gives the message's id, with %s for the message; empty: the context's
	failsWithLast bool   // the last result is an error
}

// String is one line for people.
func (p *Point) String() string {
	fence := ""
	if p.Fenced {
		fence = ", fenced"
	}
	return fmt.Sprintf("%s: %s is %s %s%s", p.Pos, p.Func, p.Kind, p.Name, fence)
}

// Warning is something that was meant to be woven and is not.
type Warning struct {
	Pos  token.Position
	Text string
}

// String is how a compiler would say it.
func (w Warning) String() string { return fmt.Sprintf("%s: %s", w.Pos, w.Text) }

var kinds = []string{"workflow", "channel", "consumer", "service", "producer"}

// shapes are the methods that make a step without any interface, by kind.
var shapes = map[string]string{"DoService": "service", "Produce": "producer", "OnMessage": "workflow"}

// wanted are the interfaces whose methods are steps.
var wanted = map[string]string{"Service": "service", "Producer": "producer", "Workflow": "workflow"}

// contract is an interface that was found.
type contract struct {
	kind  string
	named *types.Named
	iface *types.Interface
}

type finder struct {
	*loader
	contracts []contract
	points    []*Point
	warnings  []Warning
}

func (f *finder) warn(pos token.Pos, format string, args ...any) {
	f.warnings = append(f.warnings, Warning{f.fset.Position(pos), fmt.Sprintf(format, args...)})
}

// find returns the steps of the packages, in the order of their sources.
func (l *loader) find(pkgs []*source) ([]*Point, []Warning) {
	f := &finder{loader: l}
	seen := map[*types.Package]bool{}
	for _, s := range pkgs {
		if s.types == nil {
			continue
		}
		f.collect(s.types, seen)
		for _, p := range s.types.Imports() {
			f.collect(p, seen)
		}
	}
	for _, s := range pkgs {
		from := len(f.points)
		for _, file := range s.files {
			for _, d := range file.ast.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && s.types != nil {
					f.look(file, d)
				}
			}
		}
		name(s.Name, f.points[from:])
	}
	return f.points, f.warnings
}

// collect notes the interfaces of a package that make steps.
func (f *finder) collect(p *types.Package, seen map[*types.Package]bool) {
	if seen[p] {
		return
	}
	seen[p] = true
	for word, kind := range wanted {
		obj, ok := p.Scope().Lookup(word).(*types.TypeName)
		if !ok {
			continue
		}
		named, ok := types.Unalias(obj.Type()).(*types.Named)
		if !ok {
			continue
		}
		if iface, ok := named.Underlying().(*types.Interface); ok && iface.NumMethods() > 0 {
			f.contracts = append(f.contracts, contract{kind, named, iface})
		}
	}
}

// look decides about one function.
func (f *finder) look(file *file, d *ast.FuncDecl) {
	obj, ok := f.info.Defs[d.Name].(*types.Func)
	if !ok || d.Body == nil || d.Name.Name == "_" {
		return
	}
	words, at, marked := directive(d)
	if marked && words == nil {
		return // skip
	}
	sig := obj.Signature()
	p := &Point{Pos: f.fset.Position(d.Name.Pos()), Func: d.Name.Name, file: file, decl: d, ctx: -1, message: -1}
	if t := receiver(sig); t != nil {
		p.Func = t.Obj().Name() + "." + p.Func
	}
	p.shape(sig)
	switch {
	case marked:
		if !f.marked(p, words, at) {
			return
		}
	case !p.isStep() || receiver(sig) == nil:
		return
	default:
		if p.Kind = f.kindOf(obj); p.Kind == "" {
			return
		}
	}
	if imports(file.ast, "C") {
		f.warn(d.Name.Pos(), "%s is not woven: its file uses cgo", p.Func)
		return
	}
	if p.Fenced = p.Fenced || p.Kind == "producer" && f.cfg.Fence; p.Fenced && !p.failsWithLast {
		f.warn(d.Name.Pos(), "%s is not fenced: a fenced step must be able to return an error", p.Func)
		p.Fenced = false
	}
	f.points = append(f.points, p)
}

// marked takes what a directive says.
func (f *finder) marked(p *Point, words []string, at token.Pos) bool {
	p.Name, p.Kind = words[0], "service"
	for _, w := range words[1:] {
		switch {
		case slices.Contains(kinds, w):
			p.Kind = w
		case w == "fence":
			p.Fenced = true
		default:
			f.warn(at, "%s is not woven: %q is neither a kind of step nor fence", p.Func, w)
			return false
		}
	}
	if p.Fenced && p.Kind == "service" && !slices.Contains(words[1:], "service") {
		p.Kind = "producer"
	}
	switch {
	case p.Fenced && p.Kind != "producer":
		f.warn(at, "%s is not woven: only a producer can be fenced", p.Func)
		return false
	case p.ctx < 0 && p.id == "" && p.Kind != "workflow":
		f.warn(at, "%s is not woven: it has neither a context nor a message with an id", p.Func)
		return false
	}
	return true
}

// directive finds //profiler:step and //profiler:skip, which has no words.
func directive(d *ast.FuncDecl) (words []string, at token.Pos, ok bool) {
	if d.Doc == nil {
		return nil, 0, false
	}
	for _, c := range d.Doc.List {
		if c.Text == "//profiler:skip" {
			return nil, c.Pos(), true
		}
		if rest, found := strings.CutPrefix(c.Text, "//profiler:step"); found && (rest == "" || rest[0] == ' ' || rest[0] == '\t') {
			if words = strings.Fields(rest); len(words) == 0 {
				words = []string{""} // named as if it were found
			}
			return words, c.Pos(), true
		}
	}
	return nil, 0, false
}

// shape finds out what the parameters and results of a function are.
func (p *Point) shape(sig *types.Signature) {
	params := sig.Params()
	for i := range params.Len() {
		t := params.At(i).Type()
		if p.ctx < 0 && is(t, "context", "Context") {
			p.ctx = i
			continue
		}
		if p.id == "" && (!sig.Variadic() || i < params.Len()-1) {
			if id := idOf(t, params.At(i).Pkg()); id != "" {
				p.message, p.id = i, id
			}
		}
	}
	if n := sig.Results().Len(); n > 0 {
		p.failsWithLast = types.Identical(sig.Results().At(n-1).Type(), types.Universe.Lookup("error").Type())
	}
}

// isStep says whether a method that no directive names may be a step.
func (p *Point) isStep() bool { return p.ctx == 0 && p.message == 1 && p.failsWithLast }

// kindOf is what a method's type implements with it, or "".
func (f *finder) kindOf(m *types.Func) string {
	t := receiver(m.Signature())
	for _, c := range f.contracts {
		want := method(c.iface, m.Name())
		if want == nil {
			continue
		}
		if implements(t, c) {
			return c.kind
		}
	}
	return shapes[m.Name()]
}

func method(iface *types.Interface, name string) *types.Func {
	for m := range iface.Methods() {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

// implements says whether t or a pointer to it implements a contract. Where
// type parameters are involved, the names of the methods decide.
func implements(t *types.Named, c contract) bool {
	if types.IsInterface(t) {
		return false
	}
	if t.TypeParams().Len() == 0 && c.named.TypeParams().Len() == 0 {
		return types.Implements(t, c.iface) || types.Implements(types.NewPointer(t), c.iface)
	}
	set := types.NewMethodSet(types.NewPointer(t))
	for want := range c.iface.Methods() {
		m := set.Lookup(want.Pkg(), want.Name())
		if m == nil {
			return false
		}
		has, needs := m.Obj().(*types.Func).Signature(), want.Signature()
		if has.Params().Len() != needs.Params().Len() || has.Results().Len() != needs.Results().Len() {
			return false
		}
	}
	return true
}

// receiver is the named type that has a method, or nil.
func receiver(sig *types.Signature) *types.Named {
	if sig.Recv() == nil {
		return nil
	}
	t := types.Unalias(sig.Recv().Type())
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	n, _ := t.(*types.Named)
	return n
}

func is(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

// idOf is an expression that gives a message's id as a string.
func idOf(t types.Type, from *types.Package) string {
	for _, word := range []string{"ID", "Id", "GetID", "GetId", "MessageID", "UniqueID", "GetUniqueID", "UUID"} {
		obj, _, _ := types.LookupFieldOrMethod(t, true, from, word)
		switch obj := obj.(type) {
		case *types.Func:
			s := obj.Signature()
			if s.Params().Len() == 0 && s.Results().Len() == 1 {
				if as := text(s.Results().At(0).Type(), "%s."+word+"()"); as != "" {
					return as
				}
			}
		case *types.Var:
			if as := text(obj.Type(), "%s."+word); as != "" {
				return as
			}
		}
	}
	return ""
}

// text makes an expression of type t a string, or "".
func text(t types.Type, expr string) string {
	if types.Identical(t, types.Typ[types.String]) {
		return expr
	}
	if b, ok := t.Underlying().(*types.Basic); ok && b.Kind() == types.String {
		return prefix + "hook.String(" + expr + ")" // a parameter may be called string
	}
	if obj, _, _ := types.LookupFieldOrMethod(t, false, nil, "String"); obj != nil {
		if m, ok := obj.(*types.Func); ok && m.Signature().Params().Len() == 0 && m.Signature().Results().Len() == 1 &&
			types.Identical(m.Signature().Results().At(0).Type(), types.Typ[types.String]) {
			return expr + ".String()"
		}
	}
	return ""
}

func imports(f *ast.File, path string) bool {
	return slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"`+path+`"` })
}

// name names the steps of a package: after the type, or type and method where
// a type has several, and after the package if it is not main.
func name(pkg string, points []*Point) {
	count := map[string]int{}
	for _, p := range points {
		typ, _, _ := strings.Cut(p.Func, ".")
		count[typ]++
	}
	for _, p := range points {
		if p.Name != "" {
			continue
		}
		typ, _, ok := strings.Cut(p.Func, ".")
		if p.Name = p.Func; ok && count[typ] == 1 {
			p.Name = typ
		}
		if pkg != "main" {
			p.Name = pkg + "." + p.Name
		}
	}
}
