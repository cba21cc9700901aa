package secretref_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxREADMEWords keeps the README an overview; everything else belongs to docs/.
const maxREADMEWords = 1500

// TestDocs checks every page: code blocks run or compile, links lead somewhere.
// CONTRIBUTING.md describes the comments that say how a block is checked. With
// -short blocks are only parsed, so that nothing is built.
func TestDocs(t *testing.T) {
	pages := readPages(t)
	t.Run("links", func(t *testing.T) { checkLinks(t, pages) })
	t.Run("README_length", func(t *testing.T) {
		text, err := os.ReadFile("README.md")
		require.NoError(t, err)
		assert.LessOrEqual(t, len(strings.Fields(string(text))), maxREADMEWords)
	})
	t.Run("go", func(t *testing.T) { checkGo(t, pages) })
	t.Run("shell", func(t *testing.T) { checkShell(t, pages) })
}

// A page is a Markdown file.
type page struct {
	file   string // slash-separated, relative to the root of the repository
	prose  string // without code blocks and comments
	blocks []block
}

// A block is a fenced code block.
type block struct {
	file      string
	line      int    // of its first line of text
	language  string // the word after the fence
	directive string // of the comment before it, without "docs_test:"
	text      string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// skipped reports whether the block is only parsed.
func (b block) skipped() bool {
	return strings.HasPrefix(b.directive, "not run, ") || strings.HasPrefix(b.directive, "parse only, ")
}

func readPages(t *testing.T) []page {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	require.Contains(t, files, "README.md")
	var pages []page
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		p, err := parsePage(filepath.ToSlash(f), string(text))
		require.NoError(t, err)
		pages = append(pages, p)
	}
	return pages
}

// parsePage splits a page into its blocks and its prose.
func parsePage(file, text string) (page, error) {
	const opening = "<!-- docs_test:"
	p := page{file: file}
	var prose, current strings.Builder
	var open *block    // the block that the scanner is in
	directive := ""    // for the next block
	inComment := false // in the lines of a directive
	line := 0
	for s := range strings.Lines(text) {
		line++
		trimmed := strings.TrimSpace(s)
		switch {
		case open != nil && trimmed == "```":
			open.text = current.String()
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			current.WriteString(s)
		case inComment && trimmed == "-->":
			inComment = false
		case inComment:
			directive += s
		case strings.HasPrefix(trimmed, opening):
			var ended bool
			directive, ended = strings.CutSuffix(strings.TrimPrefix(trimmed, opening), "-->")
			directive = strings.TrimSpace(directive)
			if inComment = !ended; inComment {
				directive += "\n"
			}
		case strings.HasPrefix(trimmed, "```"):
			open = &block{file: file, line: line + 1, language: trimmed[3:], directive: directive}
			directive = ""
			current.Reset()
		case directive != "":
			return p, fmt.Errorf("%s:%d: a docs_test comment must be directly before a code block", file, line)
		default:
			prose.WriteString(s)
		}
	}
	if open != nil || inComment {
		return p, fmt.Errorf("%s: a code block or a docs_test comment is not closed", file)
	}
	p.prose = prose.String()
	return p, nil
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	links      = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	headings   = regexp.MustCompile(`(?m)^#{1,6} (.*)$`)
)

// checkLinks checks relative links and their anchors. Links to the web are not
// followed.
func checkLinks(t *testing.T, pages []page) {
	anchors := map[string][]string{}
	for _, p := range pages {
		anchors[p.file] = p.anchors()
	}
	for _, p := range pages {
		for _, m := range links.FindAllStringSubmatch(inlineCode.ReplaceAllString(p.prose, ""), -1) {
			link := m[1]
			if strings.Contains(link, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			target := p.file
			if file != "" {
				target = path.Join(path.Dir(p.file), file)
			}
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.file, link)
			} else if anchor != "" && !slices.Contains(anchors[target], anchor) {
				t.Errorf("%s: the link %s names a heading that is not there; there are %q", p.file, link, anchors[target])
			}
		}
	}
}

// anchors returns what GitHub makes of the page's headings.
func (p page) anchors() (all []string) {
	for _, m := range headings.FindAllStringSubmatch(p.prose, -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		all = append(all, anchor)
	}
	return all
}

// imports are what a fragment may use without importing it.
var imports = map[string]string{
	"context": "context", "driver": "database/sql/driver", "errors": "errors", "fmt": "fmt", "http": "net/http", "json": "encoding/json",
	"log": "log", "os": "os", "secretref": "github.com/seed74218947/secretref", "sql": "database/sql", "time": "time", "url": "net/url",
}

// variables are what a fragment may use without declaring it.
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
// declarations of its "given" comment.
func (b block) program() (string, error) {
	if strings.HasPrefix(b.text, "package ") {
		return b.text, nil
	}
	given, ok := strings.CutPrefix(b.directive, "given")
	if !ok {
		given = ""
	}
	body := "func _() {\n" + b.text
	parsed, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+given+variables+body+"\n}", parser.SkipObjectResolution)
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
	for _, name := range declared(parsed.Decls[len(parsed.Decls)-1].(*ast.FuncDecl).Body) {
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
				t.Errorf("%s: %v", b, err)
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
	build := exec.Command("go", "build", "-overlay", file, "-o", os.DevNull)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		build.Args = append(build.Args, "./"+name)
	}
	build.Dir = "examples"
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, explain(string(out), scratch, names))
	}
	for name, text := range prints {
		run := exec.Command("go", "run", "-overlay", file, "./"+name)
		run.Dir = "examples"
		out, err := run.CombinedOutput()
		assert.NoError(t, err, "%s: %s", names[name], out)
		assert.Equal(t, text, strings.TrimSpace(string(out)), "%s", names[name])
	}
}

// explain replaces the names of generated files by the places of their blocks.
func explain(out, scratch string, names map[string]block) string {
	for name, b := range names {
		out = strings.ReplaceAll(out, name+"/block.go", b.String()+" (line of its program)")
		out = strings.ReplaceAll(out, filepath.Join(scratch, name+".go"), b.String()+" (line of its program)")
	}
	return out
}

// checkShell runs the shell blocks of each page, one after the other in a
// directory of their own, and checks each command line of secretref.
func checkShell(t *testing.T, pages []page) {
	shell, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no shell")
	}
	bin := ""
	if !testing.Short() {
		bin = buildCommand(t)
	}
	for _, p := range pages {
		t.Run(strings.ReplaceAll(p.file, "/", "_"), func(t *testing.T) {
			if bin != "" {
				for _, line := range p.commandLines() {
					checkCommandLine(t, bin, p.file, line)
				}
			}
			dir := t.TempDir()
			for _, b := range p.blocks {
				if b.language != "sh" && b.language != "console" {
					continue
				}
				steps := b.steps()
				var script strings.Builder
				for _, s := range steps {
					script.WriteString(s.command)
				}
				parse := exec.Command(shell, "-n")
				parse.Stdin = strings.NewReader(script.String())
				out, err := parse.CombinedOutput()
				assert.NoError(t, err, "%s: %s", b, out)
				if !b.skipped() && bin != "" {
					runSteps(t, shell, bin, dir, b, steps)
				}
			}
		})
	}
}

// buildCommand returns the directory that has the command in it.
func buildCommand(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "secretref"), ".")
	build.Dir = filepath.Join("cmd", "secretref")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// A step is a command with the output that the page shows after it.
type step struct{ command, output string }

// steps splits a console block at its prompts. A sh block is one step, whose
// output is not shown.
func (b block) steps() []step {
	if b.language == "sh" {
		return []step{{b.text, "…\n"}}
	}
	var steps []step
	continued := false
	for s := range strings.Lines(b.text) {
		command, prompt := strings.CutPrefix(s, "$ ")
		switch {
		case prompt:
			steps = append(steps, step{command: command})
		case continued:
			steps[len(steps)-1].command += s
		case len(steps) > 0:
			steps[len(steps)-1].output += s
		}
		continued = (prompt || continued) && strings.HasSuffix(s, "\\\n")
	}
	return steps
}

// runSteps runs the steps of a block in one shell and compares what they print
// with what the page shows. In the page "…" stands for any text.
func runSteps(t *testing.T, shell, bin, dir string, b block, steps []step) {
	const mark = "\x1e" // between the outputs of two steps
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, s := range steps {
		script.WriteString(s.command + "printf '\\036'\n")
	}
	run := exec.Command(shell)
	run.Dir, run.Stdin = dir, strings.NewReader(script.String())
	run.Env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir}
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	err := run.Run()
	if !assert.NoError(t, err, "%s: %s", b, &stderr) {
		return
	}
	printed := strings.Split(stdout.String(), mark)
	for i, s := range steps {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(s.output)), "…", ".*")
		assert.Regexp(t, `(?s)\A\s*`+pattern+`\s*\z`, printed[i], "%s: %s", b, s.command)
	}
}

// commandLines returns every use of the command in shell blocks and in code
// within prose.
func (p page) commandLines() (lines []string) {
	for _, b := range p.blocks {
		if b.language == "go" || b.language == "json" {
			continue
		}
		s := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(b.text, "\\\n", " ")))
		for s.Scan() {
			line, _, _ := strings.Cut(s.Text(), " # ")
			if at := commandUse.FindStringIndex(line); at != nil {
				lines = append(lines, line[at[1]:])
			}
		}
	}
	for _, code := range inlineCode.FindAllString(p.prose, -1) {
		if use, ok := strings.CutPrefix(strings.Trim(code, "`"), "secretref "); ok {
			lines = append(lines, use)
		}
	}
	return lines
}

// commandUse matches the word secretref where it is a command.
var commandUse = regexp.MustCompile(`(^|[ |;(/])secretref `)

// checkCommandLine checks the subcommand and the flags of one use of the command
// against its help.
func checkCommandLine(t *testing.T, bin, file, line string) {
	words := shellWords(line)
	if len(words) == 0 || !isWord(words[0]) {
		return // a path such as secretref/cmd/secretref
	}
	name := words[0]
	if name == "help" || name == "version" {
		return
	}
	help, err := commandHelp(bin, name)
	if !assert.NoError(t, err, "%s: secretref %s", file, line) {
		return
	}
	subcommands := map[string]bool{}
	if name == "keys" {
		for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]+)`).FindAllStringSubmatch(help, -1) {
			subcommands[m[1]] = true
		}
	}
	found := name != "keys" || len(words) == 1
	for _, word := range words[1:] {
		if word == "--" {
			break
		}
		found = found || subcommands[word]
		flag := strings.Trim(word, "[]…")
		if len(flag) < 2 || flag[0] != '-' {
			continue
		}
		flag, _, _ = strings.Cut("-"+strings.TrimLeft(flag, "-"), "=")
		known := regexp.MustCompile(`(^|[\s\[,])` + regexp.QuoteMeta(flag) + `($|[\s\],])`).MatchString(help)
		assert.True(t, known, "%s: secretref %s: there is no flag %s", file, line, flag)
	}
	assert.True(t, found, "%s: secretref %s: keys has no such command", file, line)
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// commandHelp returns the help of a subcommand.
func commandHelp(bin, name string) (string, error) {
	out, err := exec.Command(filepath.Join(bin, "secretref"), "help", name).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s", exit.Stderr)
	}
	return string(out), err
}

// shellWords splits a command line as far as its flags need it: it ends at a
// pipe, a redirection or a separator, and a quoted word is one word.
func shellWords(line string) (words []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		word := line
		switch c := line[0]; {
		case strings.ContainsRune("|;&><)", rune(c)):
			return words
		case c == '\'' || c == '"':
			end := strings.IndexByte(line[1:], c)
			if end < 0 {
				return words
			}
			word = line[:end+2]
		default:
			if end := strings.IndexAny(line, " ;|)"); end >= 0 {
				word = line[:end]
			}
		}
		words, line = append(words, word), line[len(word):]
	}
	return words
}

// TestDocsChecker checks the checker: it finds what is wrong with a page.
func TestDocsChecker(t *testing.T) {
	p, err := parsePage("docs/page.md", "# A heading, with `code`\n\n<!-- docs_test: given\nvar n int\n-->\n```go\nm := n\n```\n\n"+
		"<!-- docs_test: not run, it needs root -->\n```sh\nsecretref keys \\\n  -store S put NAME | cat\n```\n")
	require.NoError(t, err)
	require.Len(t, p.blocks, 2)
	assert.Equal(t, []string{"a-heading-with-code"}, p.anchors())
	assert.False(t, p.blocks[0].skipped())
	assert.True(t, p.blocks[1].skipped())

	program, err := p.blocks[0].program()
	require.NoError(t, err)
	assert.Contains(t, program, "var n int")
	assert.Contains(t, program, "_ = m\n")
	_, err = block{text: "m := := n\n"}.program()
	assert.Error(t, err)

	require.Len(t, p.commandLines(), 1)
	assert.Equal(t, []string{"keys", "-store", "S", "put", "NAME"}, shellWords(p.commandLines()[0]))

	_, err = parsePage("docs/page.md", "<!-- docs_test: not run, it needs root -->\n\n```sh\n```\n")
	assert.Error(t, err)
	_, err = parsePage("docs/page.md", "```sh\n")
	assert.Error(t, err)

	console := block{language: "console", text: "$ echo a\na\n$ echo b \\\n  c\nb c\n"}
	assert.Equal(t, []step{{"echo a\n", "a\n"}, {"echo b \\\n  c\n", "b c\n"}}, console.steps())
}
