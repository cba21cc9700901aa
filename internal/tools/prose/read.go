package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxColumns   = 100 // a tab counts as one
	maxFileLines = 350
)

// A kind is where a passage was found.
type kind string

const (
	comments     kind = "comments"
	testComments kind = "comments of tests"
	messages     kind = "messages" // string literals of several words, outside tests
	documents    kind = "documents"
)

var kinds = []kind{comments, testComments, messages, documents}

// A passage is text for people: a group of comment lines, a message, a paragraph of a document.
type passage struct {
	source
	kind kind
	line int // of its beginning
	text string
}

func (p passage) words() int { return len(word.FindAllString(p.text, -1)) }

// A match is an expression found in a passage.
type match struct {
	position string // file:line
	text     string // as found
	line     string // the line on which it begins
}

func (p passage) find(expression *regexp.Regexp) []match {
	var found []match
	for _, at := range expression.FindAllStringIndex(p.text, -1) {
		begin := strings.LastIndexByte(p.text[:at[0]], '\n') + 1
		line, _, _ := strings.Cut(p.text[begin:], "\n")
		number := p.line + strings.Count(p.text[:begin], "\n")
		found = append(found, match{
			position: p.name + ":" + strconv.Itoa(number),
			text:     strings.Join(strings.Fields(p.text[at[0]:at[1]]), " "),
			line:     strings.TrimSpace(line),
		})
	}
	return found
}

var word = regexp.MustCompile(`[\p{L}\p{N}][\p{L}\p{N}'’_.-]*`)

type source struct {
	name            string // slash-separated, relative to the root
	lines, overlong int
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// area is the directory that the file is in.
func (s source) area() string { return path.Dir(s.name) }

type sources struct {
	files       []source // Go files
	passages    []passage
	exported    exported
	readmeWords int
}

// exported counts the exported identifiers of the root package.
type exported struct{ declared, methods, fields int }

// read reads all Go and Markdown files of the repository.
func read(repository fs.FS) (*sources, error) {
	var s sources
	err := fs.WalkDir(repository, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if base == "testdata" || len(base) > 1 && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(base) {
		case ".go":
			text, err := fs.ReadFile(repository, name)
			if err != nil {
				return err
			}
			return s.addGo(name, text)
		case ".md":
			text, err := fs.ReadFile(repository, name)
			if err != nil {
				return err
			}
			s.addDocument(name, string(text))
		}
		return nil
	})
	return &s, err
}

func (s *sources) addGo(name string, text []byte) error {
	src := source{name: name}
	for line := range strings.Lines(string(text)) {
		src.lines++
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > maxColumns {
			src.overlong++
		}
	}
	s.files = append(s.files, src)

	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	if src.area() == "." && !src.test() {
		s.exported.add(file)
	}
	for _, group := range file.Comments {
		s.addComment(src, positions, group)
	}
	if src.test() {
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field: // its tag is no message
			n.Tag = nil
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				break
			}
			text, err := strconv.Unquote(n.Value)
			if err == nil && len(strings.Fields(text)) >= 3 {
				s.add(src, messages, positions.Position(n.Pos()).Line, text)
			}
		}
		return true
	})
	return nil
}

// addComment adds the text of a group of comments, without directives.
func (s *sources) addComment(src source, positions *token.FileSet, group *ast.CommentGroup) {
	where := comments
	if src.test() {
		where = testComments
	}
	var lines []string
	for _, c := range group.List {
		text, single := strings.CutPrefix(c.Text, "//")
		switch {
		case !single:
			text = strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
		case strings.HasPrefix(text, "go:"), strings.HasPrefix(text, "nolint"):
			text = ""
		}
		lines = append(lines, text)
	}
	s.add(src, where, positions.Position(group.Pos()).Line, strings.Join(lines, "\n"))
}

// addDocument adds the paragraphs of a Markdown file, except for blocks of code.
func (s *sources) addDocument(name, text string) {
	src := source{name: name}
	var paragraph []string
	code := false
	lines := strings.Split(text, "\n")
	for i, line := range append(lines, "") {
		if name == "README.md" {
			s.readmeWords += len(strings.Fields(line))
		}
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		code = code != fence
		if !code && !fence && strings.TrimSpace(line) != "" {
			paragraph = append(paragraph, line)
			continue
		}
		if paragraph != nil {
			s.add(src, documents, i+1-len(paragraph), strings.Join(paragraph, "\n"))
			paragraph = nil
		}
	}
}

func (s *sources) add(src source, k kind, line int, text string) {
	s.passages = append(s.passages, passage{source: src, kind: k, line: line, text: text})
}

func (e *exported) add(file *ast.File) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			switch {
			case !decl.Name.IsExported():
			case decl.Recv == nil:
				e.declared++
			case receiver(decl.Recv.List[0].Type).IsExported():
				e.methods++
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				e.addSpec(spec)
			}
		}
	}
}

func (e *exported) addSpec(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() {
				e.declared++
			}
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		e.declared++
		if t, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range t.Fields.List {
				for _, name := range field.Names {
					if name.IsExported() {
						e.fields++
					}
				}
			}
		}
	}
}

// receiver returns the name of a receiver's type: T of T, *T and T[U].
func receiver(t ast.Expr) *ast.Ident {
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x
		default:
			return ast.NewIdent("_")
		}
	}
}
