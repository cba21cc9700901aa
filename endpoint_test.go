package secretref_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestAllowEndpoint_fake(t *testing.T) {
	// A Fake does not depend on the environment.
	t.Setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
	fake := secretref.NewFake()
	var checked string
	errRefused := errors.New("not one of\nours")
	r := secretref.New(&secretref.Options{Fake: fake, TTL: -1, AllowEndpoint: func(u *url.URL) error {
		if checked = u.String(); u.Host == "evil.example" {
			return errRefused
		}
		return nil
	}})
	defer r.Close()
	for value, want := range map[string]string{
		`{"region":"eu-west-1","secretId":"db"}`:                                                              "https://secretsmanager.eu-west-1.amazonaws.com",
		`{"region":"cn-north-1","secretId":"db"}`:                                                             "https://secretsmanager.cn-north-1.amazonaws.com.cn",
		`{"region":"eu-west-1","secretId":"db","endpointOverride":"http://127.0.0.1:4566"}`:                   "http://127.0.0.1:4566",
		`{"mount":"secret","path":"db","key":"k","endpoint":"https://Vault.example.com/team-a/"}`:             "https://vault.example.com/team-a",
		`{"mount":"secret","path":"db","key":"k","endpoint":"https://v:1","authenticationType":"KUBERNETES"}`: "https://v:1",
	} {
		checked = ""
		fake.Set(value, "x")
		_, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, want, checked)
	}
	for _, value := range []string{
		`{"mount":"secret","path":"db","key":"k","endpoint":"https://evil.example"}`,
		`{"region":"eu-west-1","secretId":"db","endpointOverride":"https://evil.example"}`,
	} {
		fake.Set(value, "x")
		calls := fake.Calls()
		_, err := r.Resolve(t.Context(), value)
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, `AllowEndpoint refused https://evil.example: not one of\nours`)
		require.Equal(t, calls, fake.Calls(), "the backend is not called")
	}
	checked = ""
	fake.Set(`{"keyring":"db"}`, "x")
	_, err := r.Resolve(t.Context(), `{"keyring":"db"}`)
	require.NoError(t, err)
	require.Empty(t, checked, "a keyring has no endpoint")
}

func TestEndpointSpelling(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake(),
		AllowEndpoint: func(*url.URL) error {
			t.Error("AllowEndpoint was called")
			return nil
		}})
	defer r.Close()
	for endpoint, words := range map[string]string{
		"http://\u2460\u2461\u2466.0.0.1": `field "endpoint" has a host that is not ASCII (did you mean "127.0.0.1"?)`,
		"https://v\u0130p.example":        `did you mean "xn--`,
		"http://local\u00adhost":          `did you mean "localhost"?`,
		"http://0177.0.0.1":               "four decimal numbers",
		"http://[fe80::1%25eth0]":         "zone",
		"https://v.example:99999":         "port",
		"https://v.example/a/..;/b":       "segment",
	} {
		_, err := r.Resolve(t.Context(),
			secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: endpoint}.String())
		require.ErrorIs(t, err, secretref.ErrSyntax, endpoint)
		require.ErrorContains(t, err, words)
		_, err = r.ResolveReference(t.Context(),
			secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: endpoint})
		require.ErrorIs(t, err, secretref.ErrSyntax, endpoint)
		_, err = r.Resolve(t.Context(),
			secretref.AWSReference{Region: "eu-west-1", SecretID: "db", EndpointOverride: endpoint}.String())
		require.ErrorIs(t, err, secretref.ErrSyntax, endpoint)
	}
}
