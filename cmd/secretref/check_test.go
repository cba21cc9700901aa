package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestCheck_namesMembersNearMiss(t *testing.T) {
	w := newFixture(t)
	w.aws.PutSecret("eu-west-1", "deep", `{"a/b":{"c":[{"d":{"e":"canary"}}]},"canary-free":"x"}`)
	for pointer, want := range map[string]string{
		"/a~1b/c/0/d/password": `at "/a~1b/c/0/d" it has "e"`,
		"/a~1b/c/1/d":          `at "/a~1b" it has "c"`,
		"/nothing/here":        `it has "a/b", "canary-free"`,
		"/a~1b/c/0/d/e/f":      `at "/a~1b/c/0/d" it has "e"`,
	} {
		got := w.do("", false, "check",
			fmt.Sprintf(`{"region":"eu-west-1","secretId":"deep","secretPointer":%q}`, pointer))
		assert.Equal(t, ui.StatusFailed, got.status)
		assert.Contains(t, got.out, want)
	}
}

func TestCheck_callsOnlyNeededBackends(t *testing.T) {
	w := newFixture(t)
	require.Equal(t, ui.StatusOK, w.do("", false, "check", "DIR/confluence").status)
	assert.Zero(t, w.aws.Calls())
	assert.Empty(t, w.aws.STSRequests())

	w = newFixture(t)
	require.Equal(t, ui.StatusOK, w.do("", false, "check", "DIR/jira").status)
	assert.Zero(t, w.vault.Calls())
	assert.Len(t, w.aws.STSRequests(), 1)

	w = newFixture(t)
	require.Equal(t, ui.StatusFailed,
		w.do("", false, "check", `{"region":"eu-west-1"}`, "plain").status)
	assert.Zero(t, w.aws.Calls()+w.vault.Calls()+len(w.aws.STSRequests()))
}
