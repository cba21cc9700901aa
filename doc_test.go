package secretref_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	lines, _, _ := strings.Cut(rest, "```")
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) != "" {
			require.True(t, strings.Contains(string(examples), "\t"+line),
				"example_test.go does not contain %q", line)
		}
	}
}
