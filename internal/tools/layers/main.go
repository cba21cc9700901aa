// Command layers checks that every package of this repository imports only what rules.go allows.
// It reads the import declarations of all Go files, tests and files for other systems included:
//
//	go run ./layers [ROOT]
package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/seed74218947/secretref"

func main() {
	root := "../.."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	imports, err := readImports(os.DirFS(root))
	if err != nil {
		fmt.Fprintln(os.Stderr, "layers:", err)
		os.Exit(1)
	}
	violations := check(imports)
	for _, v := range violations {
		fmt.Println(v)
	}
	if len(violations) > 0 {
		fmt.Println("the rules are in internal/tools/layers/rules.go")
		os.Exit(1)
	}
}

// An importDecl is an import of one package of this repository by another one.
type importDecl struct {
	position string // file:line
	from, to string // relative to the module path
	test     bool   // the file is a test
}

// readImports returns the imports between packages of the repository, file by file.
func readImports(repository fs.FS) ([]importDecl, error) {
	var imports []importDecl
	err := fs.WalkDir(repository, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && (base == "testdata" || len(base) > 1 && strings.HasPrefix(base, ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(base) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ok := strings.CutPrefix(imported+"/", module+"/")
			if !ok {
				continue
			}
			imports = append(imports, importDecl{
				position: fmt.Sprintf("%s:%d", name, files.Position(spec.Pos()).Line),
				from:     path.Dir(name),
				to:       path.Clean(to),
				test:     strings.HasSuffix(base, "_test.go"),
			})
		}
		return nil
	})
	return imports, err
}

// check returns the imports that the rules forbid, each as a line to print.
func check(imports []importDecl) []string {
	var violations []string
	for _, i := range imports {
		if why := forbidden(i); why != "" {
			violations = append(violations,
				fmt.Sprintf("%s: %s imports %s: %s", i.position, i.from, i.to, why))
		}
	}
	return violations
}

// forbidden returns why an import is not allowed, or "".
func forbidden(i importDecl) string {
	if i.from == i.to {
		return "" // an external test package
	}
	test := i.test || matchesAny(testPackages, i.from) ||
		matchesAny([]string{"internal/e2e/...", "internal/bench/..."}, i.from)
	if matchesAny(testPackages, i.to) {
		if test {
			return ""
		}
		return "a test package, imported outside tests"
	}
	if test && area(i.from) == area(i.to) {
		return ""
	}
	n := slices.IndexFunc(rules, func(r rule) bool { return matchesAny(r.packages, i.from) })
	if n < 0 {
		return "no rule for the importing package"
	}
	if !matchesAny(rules[n].mayImport, i.to) {
		return "the rule for " + strings.Join(rules[n].packages, " ") + " does not allow it"
	}
	return ""
}

// area returns the directory directly below internal/ that a package belongs to.
func area(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, ok := strings.CutSuffix(pattern, "/...")
		return pkg == tree || ok && strings.HasPrefix(pkg, tree+"/")
	})
}
