package secretref_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// imports are the packages that a fragment may use without importing them.
var imports = map[string]string{
	"context": "context", "driver": "database/sql/driver", "errors": "errors", "fmt": "fmt",
	"http": "net/http", "json": "encoding/json", "log": "log", "os": "os",
	"secretref": "github.com/seed74218947/secretref", "sql": "database/sql", "time": "time",
	"url": "net/url",
}

// variables are declared for every fragment.
const variables = `
var (
	ctx      context.Context
	resolver *secretref.Resolver
	opts     *secretref.Options
	keys     *secretref.Keyring
	db       *sql.DB
)
`

// program returns the file that a Go block is compiled as: the block itself if
// it begins with a package clause, else the block in a function, after the
// declarations of its "given" comment. Errors name the lines of the page.
func (b block) program() (string, error) {
	place, err := filepath.Abs(filepath.FromSlash(b.file))
	if err != nil {
		return "", err
	}
	block := fmt.Sprintf("//line %s:%d\n%s", place, b.line, b.text)
	if strings.HasPrefix(b.text, "package ") {
		return block, nil
	}
	given, ok := strings.CutPrefix(b.directive, "given")
	if !ok {
		given = "" // of another module, which compiles the block
	}
	body := "func _() {\n" + block
	source := "package p\n" + given + variables + body + "\n}"
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	used := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		}
		return true
	})
	text := "package p\n"
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if used[name] {
			text += fmt.Sprintf("import %s %q\n", name, imports[name])
		}
	}
	text += given + variables + body
	// A fragment may end with a variable that its reader goes on with.
	last := parsed.Decls[len(parsed.Decls)-1].(*ast.FuncDecl)
	for _, name := range declared(last.Body) {
		text += "_ = " + name + "\n"
	}
	return text + "}\n", nil
}

// declared returns the variables that the statements of a body declare.
func declared(body *ast.BlockStmt) (names []string) {
	for _, statement := range body.List {
		switch s := statement.(type) {
		case *ast.AssignStmt:
			for _, left := range s.Lhs {
				if x, ok := left.(*ast.Ident); ok && s.Tok == token.DEFINE && x.Name != "_" {
					names = append(names, x.Name)
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, x := range v.Names {
						names = append(names, x.Name)
					}
				}
			}
		}
	}
	return names
}

// checkGo compiles every Go block as a package of the module examples, which has
// the libraries that the blocks use.
func checkGo(t *testing.T, pages []page) {
	scratch := t.TempDir()
	overlay := map[string]string{}
	names := map[string]block{} // by the directory of the package
	prints := map[string]string{}
	for _, p := range pages {
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			program, err := b.program()
			if err != nil {
				t.Error(err)
				continue
			}
			if b.skipped() {
				continue
			}
			name := fmt.Sprintf("docsblock%d", len(names))
			file := filepath.Join(scratch, name+".go")
			require.NoError(t, os.WriteFile(file, []byte(program), 0o600))
			virtual, err := filepath.Abs(filepath.Join("examples", name, "block.go"))
			require.NoError(t, err)
			overlay[virtual], names[name] = file, b
			if text, ok := strings.CutPrefix(b.directive, "prints "); ok {
				prints[name] = text
			}
		}
	}
	require.NotEmpty(t, names)
	if testing.Short() {
		t.Skip("blocks were parsed; compiling them needs more time")
	}
	replacements, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	file := filepath.Join(scratch, "overlay.json")
	require.NoError(t, os.WriteFile(file, replacements, 0o600))
	build := goCommand("build", "-overlay", file, "-o", os.DevNull)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		build.Args = append(build.Args, "./"+name)
	}
	build.Dir = "examples"
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, out)
	}
	for name, text := range prints {
		run := goCommand("run", "-overlay", file, "./"+name)
		run.Dir = "examples"
		out, err := run.CombinedOutput()
		assert.NoError(t, err, "%s: %s", names[name], out)
		assert.Equal(t, text, strings.TrimSpace(string(out)), "%s", names[name])
	}
}

// goCommand returns a command of the go tool. It builds with the race detector if
// this test does, so that they share what they build.
func goCommand(name string, args ...string) *exec.Cmd {
	command := exec.Command("go", name, "-buildvcs=false")
	if info, ok := debug.ReadBuildInfo(); ok {
		if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
			command.Args = append(command.Args, "-race")
		}
	}
	command.Args = append(command.Args, args...)
	return command
}
