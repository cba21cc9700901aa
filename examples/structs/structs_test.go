package structs_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/structs"
)

// stores returns a fake with the secrets of config.yaml.
func stores() *secretref.Fake {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"app"}`,
		`{"db":"invented","tokens":{"search":"made up"}}`)
	fake.Set(`{"mount":"secret","path":"mail","key":"password","endpoint":"https://vault.example.com"}`, "also invented")
	fake.Set(`{"keyring":"license"}`, "L-1")
	return fake
}

func ExampleFromYAML() {
	resolver := secretref.New(&secretref.Options{Fake: stores()}) // nil Options in production
	defer resolver.Close()
	config, err := structs.FromYAML(context.Background(), resolver, "config.yaml")
	if err != nil {
		log.Fatal(err)
	}
	search := config.Tokens["search"]
	fmt.Println(config.Database, config.Database.Password.Reveal())
	fmt.Println(config.Replicas[0].Password.Reveal(), "and", config.Replicas[1].Password.Reveal())
	fmt.Println(config.Mail.Password.Reveal())
	fmt.Println(search.Reveal(), config.License)
	// Output:
	// {postgres://app@db/app [redacted]} invented
	// invented and in plain
	// also invented
	// made up L-1
}

func ExampleFromEnvironment() {
	for name, value := range map[string]string{
		"DATABASE_URL":      "postgres://app@db/app",
		"DATABASE_PASSWORD": `{ENC}{"region":"eu-west-1","secretId":"app","secretPointer":"/db"}`,
		"TOKENS":            `in plain;{ENC}{"region":"eu-west-1","secretId":"app","secretPointer":"/tokens/search"}`,
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	resolver := secretref.New(&secretref.Options{Fake: stores()})
	defer resolver.Close()
	e, err := structs.FromEnvironment(context.Background(), resolver)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Listen, e.Database, e.Database.Password.Reveal())
	fmt.Println(e.Tokens[0].Reveal(), "and", e.Tokens[1].Reveal())
	// Output:
	// :8080 {postgres://app@db/app [redacted]} invented
	// in plain and made up
}

func TestFromYAML_fetchesEachSecretOnce(t *testing.T) {
	fake := stores()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c, err := structs.FromYAML(t.Context(), r, "config.yaml")
	require.NoError(t, err)
	assert.Equal(t, 3, fake.Calls(), "one in AWS, one in Vault, one in the keyring")

	require.NoError(t, r.ResolveStruct(t.Context(), c))
	assert.Equal(t, 3, fake.Calls(), "resolved fields are not resolved again")
	assert.Equal(t, "invented", c.Database.Password.Reveal())
	assert.Equal(t, "L-1", c.License)
}

func TestFromYAML_returnsAllFailures(t *testing.T) {
	fake := stores()
	fake.Fail(`{"keyring":"license"}`, secretref.ErrDenied)
	fake.Set(`{"region":"eu-west-1","secretId":"app"}`, `{"db":"canary"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c, err := structs.FromYAML(t.Context(), r, "config.yaml")
	require.Nil(t, c)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, secretref.ErrPointer)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	assert.Contains(t, lines[0], `secretref: Tokens["search"]: {ENC}{"region"`)
	assert.Contains(t, lines[1], `secretref: License: {ENC}{"keyring":"license"}: access denied`)
	assert.NotContains(t, err.Error(), "canary")
}

func TestFromYAML_refusesMalformedReferences(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: stores()})
	defer r.Close()
	for _, text := range []string{
		`database: {url: x, password: {"region":"eu-west-1","secretId":"canary"}}`,
		`database: {url: x, password: {ENC}{"region":"eu-west-1","secretId":"canary"}}`,
		"tokens:\n  search: {ENC}{\"region\":\"eu-west-1\",\"secretId\":\"canary\"}\n",
		`mail: {password: {"keyring":"canary"}}`,
		`mail: {password: [canary]}`,
		`mail: {pasword: 'canary'}`,
		`mail: {password: '{ENC}{"keyring":"canary"'}`,
		`database: {password: '[redacted]'}`,
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, err := structs.FromYAML(t.Context(), r, path)
		require.Error(t, err, text)
		assert.Nil(t, c)
		assert.NotContains(t, err.Error(), "canary", text)
	}
}

func TestFromYAML_keepsTextThatLooksLikeANumber(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: stores()})
	defer r.Close()
	for _, password := range []string{"0123", "1e3", "0x1F", "1_000", "yes", "2026-11-21", ".inf"} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte("database: {password: "+password+"}"), 0o600))
		c, err := structs.FromYAML(t.Context(), r, path)
		require.NoError(t, err)
		assert.Equal(t, password, c.Database.Password.Reveal())
	}
}

func TestFromEnvironment_returnsAllFailures(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: stores()})
	defer r.Close()
	file := filepath.Join(t.TempDir(), "admin")
	require.NoError(t, os.WriteFile(file, []byte(`{"keyring":"license"}`+"\n"), 0o600))
	t.Setenv("DATABASE_URL", "postgres://app@db/app")
	t.Setenv("DATABASE_PASSWORD", `{"keyring":"license"}`)
	t.Setenv("ADMIN_PASSWORD", file)
	t.Setenv("MAIL_PASSWORD", `{"keyring":"nowhere"}`)
	t.Setenv("TOKENS", `{"keyring":"gone"};plain`)
	e, err := structs.FromEnvironment(t.Context(), r)
	require.Nil(t, e)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	assert.Contains(t, err.Error(), "secretref: Mail.Password: ")
	assert.Contains(t, err.Error(), "secretref: Tokens[0]: ")

	t.Setenv("MAIL_PASSWORD", "")
	t.Setenv("TOKENS", "")
	e, err = structs.FromEnvironment(t.Context(), r)
	require.NoError(t, err)
	assert.Equal(t, "L-1", e.Database.Password.Reveal())
	assert.Equal(t, "L-1", e.Admin.Reveal(), "white space around a reference is ignored")
	assert.Empty(t, e.Tokens)

	t.Setenv("TOKENS", `{"region":"eu-west-1","secretId":"app"},{"keyring":"license"}`)
	_, err = structs.FromEnvironment(t.Context(), r)
	require.ErrorIs(t, err, secretref.ErrSyntax,
		"a wrong separator must not turn the pieces into passwords")

	os.Unsetenv("DATABASE_PASSWORD")
	_, err = structs.FromEnvironment(t.Context(), r)
	require.ErrorContains(t, err, "DATABASE_PASSWORD")
}
