package weave

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// prefix of all names that are put into a program. They are short, for the
// compiler counts columns up to 255 only.
const prefix = "ilha_"

// insertion is text that goes before the byte at an offset, or in place of some.
type insertion struct {
	at, cut int
	text    string
}

// rewriter makes the woven text of one file. Nothing it inserts has a line
// break, but for what follows the last line.
type rewriter struct {
	fset *token.FileSet
	file *file
	ins  []insertion
	tail strings.Builder
}

// rewrite weaves the points of one file. With flush, its main function reports
// the last steps before it returns.
func rewrite(fset *token.FileSet, f *file, hook string, points []*Point, flush *ast.FuncDecl) []byte {
	r := &rewriter{fset: fset, file: f}
	r.insert(f.ast.Name.End(), fmt.Sprintf("; import %shook %q", prefix, hook))
	for i, p := range points {
		step := fmt.Sprintf("%s%d_%s", prefix, i, mark(f.name))
		fmt.Fprintf(&r.tail, "\nvar %s = %shook.New(%q, %q, %t)\n", step, prefix, p.Kind, p.Name, p.Fenced)
		r.weave(p, step)
	}
	if flush != nil {
		r.insert(flush.Body.Lbrace+1, " defer "+prefix+"hook.Flush();")
	}
	return r.text()
}

// mark tells apart the names of two files of one package.
func mark(name string) string {
	var h uint32 = 2166136261
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return fmt.Sprintf("%08x", h)
}

func (r *rewriter) offset(pos token.Pos) int { return r.fset.File(pos).Offset(pos) }

func (r *rewriter) insert(pos token.Pos, text string) {
	r.ins = append(r.ins, insertion{at: r.offset(pos), text: text})
}

func (r *rewriter) rename(id *ast.Ident, text string) {
	r.ins = append(r.ins, insertion{at: r.offset(id.Pos()), cut: len(id.Name), text: text})
}

func (r *rewriter) weave(p *Point, step string) {
	d := p.decl
	params := r.names(d.Type.Params, "p", p.ctx, p.message)
	result := ""
	if p.failsWithLast {
		last := d.Type.Results.NumFields() - 1
		result = r.names(d.Type.Results, "r", last)[last]
	}
	id, ctx, before := "nil", "nil", "_, "+prefix+"s := "
	if p.id != "" {
		id = "func() " + prefix + "hook.String { return " + fmt.Sprintf(p.id, params[p.message]) + " }"
	}
	if p.ctx >= 0 {
		ctx = params[p.ctx]
		before = ctx + ", " + prefix + "s := "
	}
	end := "nil"
	if result != "" {
		end = "&" + result
	}
	line := fmt.Sprintf(" %s%s.Begin(%s, %s); defer %ss.End(%s);", before, step, ctx, id, prefix, end)
	if p.Fenced {
		line += fmt.Sprintf(" if %s = %ss.Refused(); %s != nil { return };", result, prefix, result)
	}
	r.insert(d.Body.Lbrace+1, line)
}

// names makes sure that the parameters or results at some places have names,
// and returns all names.
func (r *rewriter) names(list *ast.FieldList, kind string, needed ...int) []string {
	var all []string
	if list == nil {
		return nil
	}
	n := 0
	if list.NumFields() > 0 && len(list.List[0].Names) == 0 {
		if slices.Max(needed) < 0 {
			return make([]string, list.NumFields())
		}
		for i, f := range list.List {
			name := "_"
			if slices.Contains(needed, i) {
				name = fmt.Sprintf("%s%s%d", prefix, kind, i)
			}
			all = append(all, name)
			r.insert(f.Type.Pos(), name+" ")
		}
		if !list.Opening.IsValid() {
			f := list.List[0]
			r.ins[len(r.ins)-1].text = "(" + r.ins[len(r.ins)-1].text
			r.insert(f.Type.End(), ")")
		}
		return all
	}
	for _, f := range list.List {
		for _, id := range f.Names {
			name := id.Name
			if name == "_" && slices.Contains(needed, n) {
				name = fmt.Sprintf("%s%s%d", prefix, kind, n)
				r.rename(id, name)
			}
			all = append(all, name)
			n++
		}
	}
	return all
}

// text is the file with the insertions. Behind each, a comment tells the
// compiler the column of the source, and the first one the name. A file with such comments of its own, as
// generators write them, keeps only its lines.
func (r *rewriter) text() []byte {
	columns := !bytes.Contains(r.file.text, []byte("//line ")) && !bytes.Contains(r.file.text, []byte("/*line "))
	slices.SortStableFunc(r.ins, func(a, b insertion) int { return a.at - b.at })
	tf := r.fset.File(r.file.ast.Package)
	var b bytes.Buffer
	from, name := 0, r.file.name
	for i, in := range r.ins {
		b.Write(r.file.text[from:in.at])
		b.WriteString(in.text)
		from = in.at + in.cut
		if i+1 < len(r.ins) && r.ins[i+1].at == in.at {
			continue
		}
		if columns {
			at := tf.PositionFor(tf.Pos(from), false)
			fmt.Fprintf(&b, "/*line %s:%d:%d*/", name, at.Line, at.Column)
			name = "" // as before
		}
	}
	b.Write(r.file.text[from:])
	b.WriteString(r.tail.String())
	return b.Bytes()
}
