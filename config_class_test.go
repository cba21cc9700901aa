package secretref_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolveConfig_passwordAsClass(t *testing.T) {
	r := secretref.New(nil)
	defer r.Close()
	c := &secretref.ConfigFile{
		Product: secretref.Jira, Path: "dbconfig.xml", Entries: []secretref.Entry{
			{Key: "jdbc-datasource/password", Value: secretref.NewSecret("com.example.Store"), Line: 1},
			{Key: "jdbc-datasource/atlassian-password-cipher-provider", Value: secretref.NewSecret(canary),
				Line: 2},
		}}
	_, err := r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.NotContains(t, err.Error(), canary)
}

func TestWatchConfig_productCiphers(t *testing.T) {
	fake := secretref.NewFake()
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	testdata, err := filepath.Abs("testdata")
	require.NoError(t, err)
	t.Chdir(t.TempDir()) // relative paths are relative to the file
	for home, want := range map[string]string{"bamboo": "bamboo's own", "crowd": "päßwörd-密码"} {
		c, err := secretref.ReadConfig(filepath.Join(testdata, home))
		require.NoError(t, err)
		live, err := r.WatchConfig(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, want, live.Value().Database.Password.Reveal())
		_, err = live.Refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, live.Value().Database.Password.Reveal())
	}
	require.Zero(t, fake.Calls())
}

func TestWatchConfig_cipherFileChanges(t *testing.T) {
	dir := t.TempDir()
	vector := func(name string) {
		for kind, file := range map[string]string{"SealedObject": "object", "SecretKeySpec": "key"} {
			text, err := os.ReadFile(filepath.Join("testdata/vectors/sealed", name+"."+kind))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), text, 0o600))
		}
	}
	vector("00-AES-128-ascii")
	path := filepath.Join(dir, "crowd.cfg.xml")
	text := strings.Replace(confluenceFile("jdbc.password.decrypter.classname", crowdsCipher,
		"hibernate.connection.password", `{"sealedObjectFilePath":"object","keyFilePath":"key"}`),
		"confluence-configuration", "application-configuration", 2)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := secretref.ReadConfig(dir)
	require.NoError(t, err)
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	live, err := r.WatchConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "secret", live.Value().Database.Password.Reveal())

	vector("10-AES-128-len16")
	_, err = live.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef", live.Value().Database.Password.Reveal())

	require.NoError(t, os.Remove(filepath.Join(dir, "key")))
	_, err = live.Refresh(t.Context())
	require.ErrorIs(t, err, secretref.ErrNotFound)
	_, err = live.Status()
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.Equal(t, "0123456789abcdef", live.Value().Database.Password.Reveal(),
		"the last good value stays")
}

func TestResolveConfig_cipherFilesFromEnvironment(t *testing.T) {
	dir, err := filepath.Abs("testdata/vectors/sealed")
	require.NoError(t, err)
	const prefix = "com_atlassian_db_config_password_ciphers_algorithm_javax_crypto_"
	t.Setenv(prefix+"SealedObject", filepath.Join(dir, "00-AES-128-ascii.SealedObject"))
	t.Setenv(prefix+"spec_SecretKeySpec", filepath.Join(dir, "00-AES-128-ascii.SecretKeySpec"))
	c := readConfig(t, "confluence.cfg.xml", confluenceFile("jdbc.password.decrypter.classname",
		algorithmClass, "hibernate.connection.password", "{}"))

	r := secretref.New(nil)
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "secret", got.Database.Password.Reveal())

	faked := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer faked.Close()
	_, err = faked.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrSyntax, "a Fake ignores the environment")
	require.ErrorContains(t, err, prefix+"SealedObject")
}

func TestResolveConfig_emptyBase64(t *testing.T) {
	c := readConfig(t, "dbconfig.xml", jiraFile("password", "", "atlassian-password-cipher-provider",
		base64Class))
	var log bytes.Buffer
	for strict, kind := range map[bool]error{false: nil, true: secretref.ErrNotReference} {
		r := secretref.New(&secretref.Options{
			Fake: secretref.NewFake(), Strict: strict, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		defer r.Close()
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, kind)
	}
	require.Contains(t, log.String(), "is empty")
}

func TestResolveConfig_classes(t *testing.T) {
	aws, vault := strings.TrimPrefix(awsRef, "{ENC}"), strings.TrimPrefix(vaultRef, "{ENC}")
	const custom = "com.example.Store"
	sealed := sealedInline(t, "00-AES-128-ascii")
	type row struct {
		class, value string
		want         string // or
		kind         error
		says         string
	}
	rows := map[string]row{
		"AWS":               {class: awsClass, value: aws, want: secretBehind},
		"AWS with a prefix": {class: awsClass, value: awsRef, want: secretBehind},
		"AWS, angle form": {
			class: awsClass,
			value: `<ENC><"region":"eu-west-1","secretId":"db","secretPointer":"/password">`,
			want:  secretBehind,
		},
		"AWS in white space": {
			class: "\n  " + awsClass + "\n  ", value: "\n    " + aws + "\n  ", want: secretBehind,
		},
		"AWS in white space, prefixed": {
			class: awsClass, value: "\n    " + awsRef + "\n  ", want: secretBehind,
		},
		"AWS without a password": {class: awsClass, value: "", kind: secretref.ErrSyntax},
		"AWS with plaintext":     {class: awsClass, value: canary, kind: secretref.ErrSyntax},
		"AWS with prefixed plaintext": {
			class: awsClass, value: "{ENC}" + canary, kind: secretref.ErrSyntax,
		},
		"AWS with JSON plaintext": {
			class: awsClass, value: `{"password":"` + canary + `"}`, kind: secretref.ErrSyntax,
		},
		"AWS with Vault's coordinates": {
			class: awsClass, value: vault, kind: secretref.ErrSyntax, says: awsClass,
		},
		"AWS with a keyring's": {
			class: awsClass, value: `{"keyring":"x"}`, kind: secretref.ErrSyntax, says: awsClass,
		},
		"AWS with a Provider's": {
			class: awsClass, value: `{"storeId":"x"}`, kind: secretref.ErrSyntax, says: awsClass,
		},
		"AWS with the placeholder": {
			class: awsClass, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store",
		},

		"Vault":               {class: vaultClass, value: vault, want: secretBehind},
		"Vault with a prefix": {class: vaultClass, value: vaultRef, want: secretBehind},
		"Vault in white space": {
			class: " " + vaultClass, value: "\t" + vault + " ", want: secretBehind,
		},
		"Vault with plaintext": {class: vaultClass, value: canary, kind: secretref.ErrSyntax},
		"Vault with AWS' coordinates": {
			class: vaultClass, value: aws, kind: secretref.ErrSyntax, says: vaultClass,
		},
		"Vault with the placeholder": {
			class: vaultClass, value: " {ATL_SECURED} ", kind: secretref.ErrUnsupported,
			says: "internal store",
		},

		"Base64":                        {class: base64Class, value: "c2VjcmV0", want: "secret"},
		"Base64, older, in white space": {class: oldBase64, value: "\n\tc2VjcmV0\n", want: "secret"},
		"Base64 of text":                {class: base64Class, value: "w6nwn5iA", want: "é😀"},
		"Base64 of no text": {
			class: base64Class, value: "/w==", kind: secretref.ErrSyntax,
		},
		"Base64 of nothing": {class: base64Class, value: "", want: ""},
		"Base64 with plaintext": {
			class: base64Class, value: canary, kind: secretref.ErrSyntax,
		},
		"Base64 with coordinates": {class: base64Class, value: aws, kind: secretref.ErrSyntax},
		"Base64 with the placeholder": {
			class: base64Class, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported,
			says: "internal store",
		},
		"Algorithm, inline": {class: algorithmClass, value: sealed, want: "secret"},
		"Algorithm, older": {
			class: oldAlgorithm, value: " " + sealed + "\n", want: "secret",
		},
		"Algorithm, Crowd's": {class: crowdsCipher, value: sealed, want: "secret"},
		"Algorithm, Crowd's with DES": {
			class: crowdsCipher, value: sealedInline(t, "20-DES-56-ascii"), kind: secretref.ErrUnsupported,
			says: "AES",
		},
		"Algorithm with plaintext": {
			class: algorithmClass, value: canary, kind: secretref.ErrSyntax,
		},
		"Algorithm with AWS' coordinates": {
			class: algorithmClass, value: aws, kind: secretref.ErrSyntax,
		},
		"Algorithm, no such file": {
			class: algorithmClass, value: `{"sealedObjectFilePath":"a","keyFilePath":"b"}`,
			kind: secretref.ErrNotFound,
		},
		"Algorithm, the wrong key": {
			class: algorithmClass, value: sealedInline(t, "00-AES-128-ascii", "02-AES-128-unicode"),
			kind: secretref.ErrCorrupt,
		},
		"unknown": {
			class: "com.example.Other", value: canary, kind: secretref.ErrUnsupported,
			says: "com.example.Other",
		},
		"unknown by letter case": {
			class: strings.ToLower(awsClass), value: aws, kind: secretref.ErrUnsupported,
			says: strings.ToLower(awsClass),
		},
		"unknown with the placeholder": {
			class: "com.example.Other", value: "{ATL_SECURED}", kind: secretref.ErrUnsupported,
			says: "internal store",
		},
		"a Provider's": {
			class: custom, value: " opaque {\"a\"} \n", want: "got [ opaque {\"a\"} \n]",
		},
		"a Provider's with a prefix": {
			class: custom, value: "{ENC}opaque", want: "got [{ENC}opaque]",
		},
		"a Provider's with coordinates": {class: custom, value: aws, want: "got [" + aws + "]"},
		"a Provider's with nothing":     {class: custom, value: "", want: "got []"},
		"a Provider's and the placeholder": {
			class: custom, value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store",
		},

		"none, AWS":            {value: aws, want: secretBehind},
		"none, Vault":          {value: vaultRef, want: secretBehind},
		"none, a Provider's":   {value: `{"storeId":"x"}`, want: `got [{"storeId":"x"}]`},
		"none, plaintext":      {value: "hunter2", want: "hunter2"},
		"none, in white space": {value: " hunter2\n", want: " hunter2\n"},
		"none, white space":    {value: "  ", want: "  "},
		"none, a brace":        {value: `{x9!`, want: `{x9!`},
		"none, another's JSON": {value: `{"a":1}`, want: `{"a":1}`},
		"none, broken":         {value: `{"region":"` + canary + `"`, kind: secretref.ErrSyntax},
		"none, misspelled": {
			value: `{"Region":"` + canary + `","secretID":"db"}`, kind: secretref.ErrSyntax,
		},
		"none, prefixed":          {value: "{ENC}" + canary, kind: secretref.ErrSyntax},
		"none, prefix misspelled": {value: "{enc}" + canary, kind: secretref.ErrSyntax},
		"none, the placeholder": {
			value: "{ATL_SECURED}", kind: secretref.ErrUnsupported, says: "internal store",
		},
		"blank, so none": {class: " \n", value: "hunter2", want: "hunter2"},
		"none, a sealed object": {
			value: sealed, kind: secretref.ErrSyntax, says: "AlgorithmSecretStore",
		},
		"none, misspelled and sealed": {
			value: `{"SealedObjectFilepath":"` + canary + `","keyFilePath":"x"}`, kind: secretref.ErrSyntax,
		},
		"none, sealed and prefixed": {
			value: "{ENC}" + sealed, kind: secretref.ErrSyntax, says: "AlgorithmSecretStore",
		},
		"none, serialized": {
			value: "rO0ABXNyABlqYXZheC5jcnlwdG8", kind: secretref.ErrSyntax, says: "AlgorithmSecretStore",
		},
		"none, half a prefix":    {value: "ENC}" + canary, kind: secretref.ErrSyntax},
		"none, prefix and colon": {value: "{ENC:" + canary, kind: secretref.ErrSyntax},
		"none, another tool's":   {value: "op://vault/item/" + canary, kind: secretref.ErrUnsupported},
		"none, found nowhere": {
			value: `{"region":"eu-west-1","secretId":"other"}`, kind: secretref.ErrNotFound,
		},
		"AWS, pointing elsewhere": {
			class: awsClass, value: `{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}`,
			kind: secretref.ErrPointer,
		},
	}
	r := secretref.New(&secretref.Options{
		Fake: configFake(), Providers: storeProviders(func(_ context.Context, coordinates []byte) ([]byte,
			error) {
			return fmt.Appendf(nil, "got [%s]", coordinates), nil
		})})
	defer r.Close()
	check := func(t *testing.T, file, text, key, place string, row row) {
		t.Helper()
		c := readConfig(t, file, text)
		got, err := r.ResolveConfig(t.Context(), c)
		require.NotNil(t, got)
		if row.kind == nil {
			require.NoError(t, err)
			require.Equal(t, row.want, got.Database.Password.Reveal())
			require.Equal(t, map[string]string{key: row.want}, revealMap(got.Secrets))
			return
		}
		require.ErrorIs(t, err, row.kind)
		require.ErrorContains(t, err, row.says)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		require.Equal(t, place, located.Source)
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			class := "atlassian-password-cipher-provider"
			before := strings.Count(row.class, "\n") // the lines that the class takes
			if row.class == "" {
				check(t, "dbconfig.xml", jiraFile("password", row.value), jiraPassword,
					"dbconfig.xml:3: "+jiraPassword, row)
				check(t, "confluence.cfg.xml", confluenceFile("hibernate.connection.password", row.value),
					"hibernate.connection.password",
					"confluence.cfg.xml:3: hibernate.connection.password", row)
				return
			}
			check(t, "dbconfig.xml", jiraFile(class, row.class, "password", row.value), jiraPassword,
				fmt.Sprintf("dbconfig.xml:%d: %s", 4+before, jiraPassword), row)
			check(t, "dbconfig.xml", jiraFile("password", row.value, class, row.class), jiraPassword,
				"dbconfig.xml:3: "+jiraPassword, row)
			check(t, "confluence.cfg.xml", confluenceFile("hibernate.connection.password", row.value,
				"jdbc.password.decrypter.classname", row.class),
				"hibernate.connection.password", "confluence.cfg.xml:3: hibernate.connection.password", row)
			check(t, "confluence.cfg.xml", confluenceFile("jdbc.password.decrypter.classname", row.class,
				"hibernate.connection.password", row.value),
				"hibernate.connection.password",
				fmt.Sprintf("confluence.cfg.xml:%d: hibernate.connection.password", 4+before), row)
		})
	}
}

func TestResolveConfig_classWithoutPassword(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for file, row := range map[string]struct{ text, says string }{
		"dbconfig.xml": {
			jiraFile("atlassian-password-cipher-provider", awsClass, "PASSWORD", canary), "line 3",
		},
		"confluence.cfg.xml": {
			confluenceFile("jdbc.password.decrypter.classname", vaultClass,
				" hibernate.connection.password ", canary), "line 3",
		},
		"bitbucket.properties": {
			"jdbc.password.decrypter.classname=" + awsClass + "\njdbc.passwort=" + canary, "line 1",
		},
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, row.text))
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, file)
		require.ErrorContains(t, err, row.says)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
	}
}
