package profiler_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Every function and method that a user calls has an Example. Accessors are
// shown by that of Producer.
func TestExamples(t *testing.T) {
	shown := map[string]bool{
		"Step_Name": true, "Step_Instance": true, "Step_Kind": true, "Step_Fenced": true, "Step_String": true,
		"Kind_String": true, "Phase_String": true,
	}
	var want []string
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			switch test := strings.HasSuffix(entry.Name(), "_test.go"); {
			case test && fn.Recv == nil:
				shown[strings.TrimPrefix(fn.Name.Name, "Example")] = true
			case !test && fn.Recv == nil:
				want = append(want, fn.Name.Name)
			case !test && receiver(fn) != "":
				want = append(want, receiver(fn)+"_"+fn.Name.Name)
			}
		}
	}
	if len(want) < 20 {
		t.Fatalf("found only %q", want)
	}
	for _, name := range want {
		if !shown[name] {
			t.Errorf("there is no Example%s", name)
		}
	}
}

// receiver is the exported type that a method is of, or "".
func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok && name.IsExported() {
		return name.Name
	}
	return ""
}
