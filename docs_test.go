package secretref_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
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
// CONTRIBUTING.md describes the comments that change how a block is checked. With
// -short, blocks are only parsed and nothing is built.
func TestDocs(t *testing.T) {
	pages := readPages(t)
	for _, module := range []string{"cmd/secretref", "examples"} {
		dependOn(t, module)
	}
	t.Run("links", func(t *testing.T) { checkLinks(t, pages) })
	t.Run("README_length", func(t *testing.T) {
		text, err := os.ReadFile("README.md")
		require.NoError(t, err)
		assert.LessOrEqual(t, len(strings.Fields(string(text))), maxREADMEWords)
	})
	t.Run("go", func(t *testing.T) { checkGo(t, pages) })
	t.Run("shell", func(t *testing.T) { checkShell(t, pages) })
}

// dependOn looks at every file of a directory, so that go test does not reuse a
// result from before one of them changed.
func dependOn(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(filepath.FromSlash(dir),
		func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
	require.NoError(t, err)
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
	return strings.HasPrefix(b.directive, "not run, ") || strings.HasPrefix(b.directive, "module ")
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
			return p, fmt.Errorf("%s:%d: this is between a docs_test comment and its block", file, line)
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
				t.Errorf("%s: the link %s leads to no heading; there are %q",
					p.file, link, anchors[target])
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

// TestDocsChecker checks the checker: it finds what is wrong with a page.
func TestDocsChecker(t *testing.T) {
	p, err := parsePage("docs/page.md", strings.ReplaceAll(`# A heading, with 'code'

<!-- docs_test: given
var n int
-->
~~~go
m := n
~~~

<!-- docs_test: not run, it needs root -->
~~~sh
secretref keys \
  -store S put NAME | cat
~~~
`, "~~~", "```"))
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
