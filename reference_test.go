package secretref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestParse(t *testing.T) {
	for value, want := range map[string]secretref.Reference{
		awsRef: secretref.AWSReference{Region: "eu-west-1", SecretID: "db", SecretPointer: "/password"},
		`{"region":"eu-west-1","secretId":"db","endpointOverride":"https://x"}`: secretref.AWSReference{
			Region: "eu-west-1", SecretID: "db", EndpointOverride: "https://x",
		},
		vaultRef: secretref.VaultReference{
			Mount: "secret", Path: "db", Key: "password", Endpoint: "https://vault.example.com",
		},
		`{"mount":"m","path":"p","key":"k","endpoint":"https://v","authenticationType":"KUBERNETES"}`: secretref.VaultReference{
			Mount: "m", Path: "p", Key: "k", Endpoint: "https://v",
			AuthenticationType: secretref.VaultKubernetes},
		`{"keyring":"jdbc-password"}`: secretref.KeyringReference{Name: "jdbc-password"},
	} {
		got, err := secretref.Parse(value)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := secretref.Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.True(t, got == again, "references are comparable")
	}
	_, err := secretref.Parse("hunter2")
	require.ErrorIs(t, err, secretref.ErrNotReference)
	_, err = secretref.Parse(`{"Region":"eu-west-1"}`)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	_, err = secretref.Parse("{ATL_SECURED}")
	require.ErrorIs(t, err, secretref.ErrUnsupported)
}

func TestParse_allocations(t *testing.T) {
	const (
		boxed     = 1 // the value of the Reference interface
		plaintext = 1 // the *Error
	)
	for name, c := range map[string]struct {
		value  string
		allocs float64
	}{
		"plaintext":                    {"hunter2", plaintext},
		"plaintext in capital letters": {"Xy7$kQ-Wz!9", plaintext},
		"plaintext with a colon":       {"Xy7:kQ=Wz!9", plaintext},
		"plaintext with a brace":       {"{x9!", plaintext},
		"plaintext that is JSON":       {`{"Key":"V","User":"Admin"}`, plaintext},
		"plaintext that is a URL": {
			"jdbc:postgresql://db.example.com/jira?user=x&password=Y", plaintext,
		},
		"nothing":              {"", plaintext},
		"AWS":                  {awsRef, boxed},
		"AWS without a prefix": {strings.TrimPrefix(awsRef, "{ENC}"), boxed},
		"AWS with white space": {" " + awsRef + "\n", boxed},
		"Vault":                {vaultRef, boxed},
		"Vault with a port and a path": {
			`{ENC}{"mount":"a","path":"b/c","key":"d","endpoint":"http://127.0.0.1:8200/base/",` +
				`"authenticationType":"KUBERNETES"}`, boxed,
		},
		"keyring":               {`{ENC}{"keyring":"jdbc-password"}`, boxed},
		"a name with an escape": {`{ENC}{"keyring":"a\nb"}`, boxed + 1},
		// the unescaped name is a copy
	} {
		t.Run(name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() { _, _ = secretref.Parse(c.value) })
			require.Equal(t, c.allocs, got)
		})
	}
}

func TestParse_plaintextError(t *testing.T) {
	_, err := secretref.Parse("hunter2")
	require.ErrorIs(t, err, secretref.ErrNotReference)
	var e, another *secretref.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, e.Error(), err.Error())
	e.Source = "app.conf:3"
	_, err = secretref.Parse("hunter3")
	require.ErrorAs(t, err, &another)
	require.Empty(t, another.Source)
	require.NotContains(t, err.Error(), "app.conf")
}

func BenchmarkParse(b *testing.B) {
	for name, value := range map[string]string{
		"aws": `{ENC}{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": ` +
			`"/password"}`,
		"vault": `{ENC}{"mount": "secret", "path": "sample/secret", "key": "password", ` +
			`"endpoint": "https://vault.example.com"}`,
		"plaintext": "correct horse battery staple",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = secretref.Parse(value)
			}
		})
	}
}
