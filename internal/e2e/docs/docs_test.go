// Package docs compiles the code blocks of the documentation that use modules which only these
// tests depend on. The root module's TestDocs checks all other blocks. After a change of a page
// use -count=1: go test does not see changes of files outside this module.
package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// marked matches a Go block with its comment: the declarations, then the statements.
var marked = regexp.MustCompile("(?s)<!-- docs_test: module internal/e2e\n(.*?)-->\n```go\n(.*?)```")

func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/*.md")
	require.NoError(t, err)
	blocks := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range marked.FindAllSubmatchIndex(text, -1) {
			blocks++
			line := 1 + strings.Count(string(text[:m[4]]), "\n")
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(page), line), func(t *testing.T) {
				place, err := filepath.Abs(page)
				require.NoError(t, err)
				compile(t, fmt.Sprintf("package p\n%sfunc _() {\n//line %s:%d\n%s}\n",
					text[m[2]:m[3]], place, line, text[m[4]:m[5]]))
			})
		}
	}
	require.NotZero(t, blocks)
}

// compile builds a program as a package of this module.
func compile(t *testing.T, program string) {
	scratch := t.TempDir()
	file := filepath.Join(scratch, "block.go")
	require.NoError(t, os.WriteFile(file, []byte(program), 0o600))
	virtual, err := filepath.Abs(filepath.Join("block", "block.go"))
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{virtual: file}})
	require.NoError(t, err)
	replacements := filepath.Join(scratch, "overlay.json")
	require.NoError(t, os.WriteFile(replacements, overlay, 0o600))
	out, err := exec.Command("go", "build", "-overlay", replacements, "./block").CombinedOutput()
	require.NoError(t, err, "%s", out)
}
