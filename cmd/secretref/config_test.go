package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestConfig_refusesInvalidUTF8InJSON(t *testing.T) {
	w := newFixture(t)
	w.aws.PutBinary("ap-southeast-2", "code/search", []byte("canary\xff"))
	got := w.do("", false, "config", "-json", "-reveal", "DIR/bitbucket")
	assert.Equal(t, ui.StatusFailed, got.status)
	assert.Empty(t, got.out)
	assert.Equal(t, "secretref: the secret of plugin.search.config.password is not valid UTF-8, "+
		"which JSON requires: use \"secretref resolve\"\n", got.err)

	got = w.do("", false, "resolve", `{"region":"ap-southeast-2","secretId":"code/search"}`)
	assert.Equal(t, outcome{out: "canary\xff"}, got)
}

func TestConfig_jsonParses(t *testing.T) {
	w := newFixture(t)
	got := w.do("", false, "config", "-json", "-reveal", "DIR/confluence")
	require.Equal(t, ui.StatusOK, got.status)
	var r configJSON
	require.NoError(t, json.Unmarshal([]byte(got.out), &r))
	require.NotNil(t, r.Password)
	assert.Equal(t, "canary-wiki", *r.Password)
	assert.Equal(t, "wiki", r.Username)
}

// configJSON holds the members of config -json that tests look at.
type configJSON struct {
	Username string
	Password *string
	Secrets  map[string]*string
}
