package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun_showsSecretsAndCleansUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR")) // Windows
	t.Setenv("AWS_PROFILE", "absent, so that using it fails")
	before := os.Environ()

	var output strings.Builder
	require.NoError(t, run(t.Context(), &output))
	for _, expected := range []string{jiraPassword, confluencePassword, "ninety=nine: pears",
		`maple_syrup\\42`, `copper \"kettle\"`,
		"[redacted]", livePassword, rotatedPassword, "Vault is sealed", keyringPassword,
		`{"inactiveKeys":["`, `{"deletedKeys":["`, "delete-inactive", `did you mean "secretId"?`,
		"dbconfig.xml", "confluence.cfg.xml", "bitbucket.properties",
		`sql.Open("pgx", dsn.Reveal())`} {
		assert.Contains(t, output.String(), expected)
	}
	assert.Regexp(t, regexp.MustCompile(`(?m)^6\. `), output.String())

	after := os.Environ()
	slices.Sort(before)
	slices.Sort(after)
	assert.Equal(t, before, after)
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
