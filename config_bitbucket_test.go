package secretref_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolveConfig_bitbucket(t *testing.T) {
	const aws = `{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	for name, row := range map[string]struct {
		lines []string
		want  map[string]string
	}{
		"with the class": {[]string{
			"encrypted-property.cipher.classname=" + awsClass,
			"jdbc.password={ENC}" + aws,
			"plugin.x.password=<ENC>" + aws,
			"plugin.y.json=" + aws,
			"plugin.z={ATL_SECURED}",
			"plugin.text=see {ENC}" + aws,
			"plugin.plain=hunter2",
			"plugin.empty=",
		}, map[string]string{"jdbc.password": secretBehind, "plugin.x.password": secretBehind}},
		"the class comes last": {
			[]string{"jdbc.password={ENC}" + aws, "encrypted-property.cipher.classname=" + awsClass},
			map[string]string{"jdbc.password": secretBehind}},
		"without a class, both backends": {
			[]string{"jdbc.password={ENC}" + aws, "plugin.x.password=" + vaultRef},
			map[string]string{"jdbc.password": secretBehind, "plugin.x.password": secretBehind}},
		"the prefix is lost": {
			[]string{"jdbc.password=" + aws}, map[string]string{"jdbc.password": secretBehind},
		},
		"the older class, raw": {
			[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password=" + aws},
			map[string]string{"jdbc.password": secretBehind},
		},
		"escaped as Java does": {
			[]string{`jdbc.password={ENC}{\"region\"\:"eu-west-1",\`,
				`   "secretId":"db","secretPointer"\="/password"}`}, nil,
		},
		"continued on the next line": {
			[]string{`jdbc.password={ENC}{"region":"eu-west-1",\`,
				`   "secretId"\:"db","secretPointer":"/password"}`},
			map[string]string{"jdbc.password": secretBehind},
		},
		"only the last of a key": {
			[]string{"jdbc.password={ENC}" + canary, "jdbc.password={ENC}" + aws},
			map[string]string{"jdbc.password": secretBehind},
		},
		"a plaintext password": {
			[]string{"jdbc.password= hunter2 ", "encrypted-property.cipher.classname=" + awsClass},
			map[string]string{"jdbc.password": "hunter2 "},
		},
		"no password at all": {[]string{"jdbc.user=sa"}, map[string]string{}},
		"white space after the object": {
			[]string{"jdbc.password={ENC}" + aws + "  "}, map[string]string{"jdbc.password": secretBehind},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := secretref.New(&secretref.Options{Fake: configFake()})
			defer r.Close()
			got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties",
				strings.Join(row.lines, "\n")))
			if row.want == nil {
				require.ErrorIs(t, err, secretref.ErrSyntax)
				require.Empty(t, got.Secrets)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, revealMap(got.Secrets))
			require.Equal(t, row.want["jdbc.password"], got.Database.Password.Reveal())
		})
	}
}

func TestResolveConfig_bitbucketClasses(t *testing.T) {
	for name, row := range map[string]struct {
		lines []string
		kind  error
		at    string
	}{
		"marked plaintext with a class": {
			[]string{"encrypted-property.cipher.classname=" + awsClass, "x={ENC}" + canary},
			secretref.ErrSyntax, "2: x",
		},
		"marked plaintext without a class": {[]string{"x={ENC}" + canary}, secretref.ErrSyntax, "1: x"},
		"a misspelled mark":                {[]string{"x={enc}" + canary}, secretref.ErrSyntax, "1: x"},
		"a misspelled mark with a class": {
			[]string{"encrypted-property.cipher.classname=com.example.Store", "x={enc}" + canary},
			secretref.ErrSyntax, "2: x",
		},
		"the other backend": {
			[]string{"encrypted-property.cipher.classname=" + awsClass, "x=" + vaultRef},
			secretref.ErrSyntax, "2: x",
		},
		"marked, the class not known": {
			[]string{"encrypted-property.cipher.classname=com.example.Other", "x={ENC}" + canary},
			secretref.ErrUnsupported, "2: x",
		},
		"marked placeholder": {
			[]string{"x={ENC}{ATL_SECURED}"}, secretref.ErrUnsupported, "1: x",
		},
		"placeholder for the password": {
			[]string{"jdbc.password={ATL_SECURED}"}, secretref.ErrUnsupported, "1: jdbc.password",
		},
		"raw plaintext, the older class": {
			[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password=" + canary},
			secretref.ErrSyntax, "2: jdbc.password",
		},
		"nothing, the older class": {
			[]string{"jdbc.password.decrypter.classname=" + awsClass, "jdbc.password="}, secretref.ErrSyntax,
			"2: jdbc.password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := configFake()
			r := secretref.New(&secretref.Options{
				Fake: fake, Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
					t.Error("the Provider was called")
					return nil, nil
				})})
			defer r.Close()
			got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties",
				strings.Join(row.lines, "\n")))
			require.ErrorIs(t, err, row.kind)
			require.ErrorContains(t, err, "bitbucket.properties:"+row.at+": ")
			require.NotContains(t, err.Error(), canary)
			require.Empty(t, got.Secrets)
			require.Zero(t, fake.Calls())
		})
	}
}

func TestResolveConfig_providerClass(t *testing.T) {
	var given []string
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(_ context.Context, coordinates []byte) ([]byte, error) {
			given = append(given, string(coordinates))
			return []byte("x"), nil
		})})
	defer r.Close()
	c := readConfig(t, "bitbucket.properties",
		"encrypted-property.cipher.classname=com.example.Store\njdbc.password={ENC} opaque "+
			"\nhazelcast.group.password=plain\n")
	got, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []string{" opaque "}, given)
	require.Equal(t, map[string]string{"jdbc.password": "x"}, revealMap(got.Secrets))
}

// The tests that use severalFailures expect its line numbers.
const severalFailures = `# one comment
encrypted-property.cipher.classname=` + awsClass + `
a={ENC}{"region":"eu-west-1","secretId":"missing"}
good={ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}

jdbc.password={ENC}{"region":"eu-west-1","secretId":"denied"}
z=plain
b={ENC}{"region":"eu-west-1","secretId":"db",\
  "secretPointer":"/passwort"}
`

func TestResolveConfig_errors(t *testing.T) {
	fake := configFake()
	fake.Fail(`{"region":"eu-west-1","secretId":"denied"}`, secretref.ErrDenied)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", severalFailures))
	require.Equal(t, map[string]string{"good": secretBehind}, revealMap(got.Secrets))
	require.True(t, got.Database.Password.IsZero())
	require.Equal(t, 3, fake.Calls(), "one fetch for each secret")
	for _, kind := range []error{secretref.ErrNotFound, secretref.ErrDenied, secretref.ErrPointer} {
		require.ErrorIs(t, err, kind)
	}
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	for i, want := range []string{
		`secretref: bitbucket.properties:3: a: {ENC}{"region":"eu-west-1","secretId":"missing"}: not found`,
		`secretref: bitbucket.properties:6: jdbc.password: ` +
			`{ENC}{"region":"eu-west-1","secretId":"denied"}: access denied`,
		`secretref: bitbucket.properties:8: b: ` +
			`{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}: pointer does not lead`,
	} {
		require.True(t, strings.HasPrefix(lines[i], want), lines[i])
	}
}

func TestResolveConfig_malformed(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	text := severalFailures + `c={ENC}{"region":"` + canary + `"}` + "\n" + `d={ENC}{"secretID":"x"}`
	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties", text))
	require.Zero(t, fake.Calls())
	require.Empty(t, got.Secrets)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotErrorIs(t, err, secretref.ErrNotFound)
	require.NotContains(t, err.Error(), canary)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "bitbucket.properties:10: c: syntax error")
	require.Contains(t, lines[1], "bitbucket.properties:11: d: syntax error")
}

func TestResolveConfig_angleForm(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, "angle")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	const class = "encrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\n"
	c, err := secretref.ReadConfig(writeFile(t, "bitbucket.properties",
		class+`jdbc.password=<ENC><"region":"eu-west-1","secretId":"db">`))
	require.NoError(t, err)
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "angle", settings.Database.Password.Reveal())

	c, err = secretref.ReadConfig(writeFile(t, "bitbucket.properties",
		class+`jdbc.password={ENC}{ENC}{"region":"eu-west-1","secretId":"db"}`))
	require.NoError(t, err)
	_, err = r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrSyntax)
}

func TestResolveConfig_atlSecured(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, "other")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	c, err := secretref.ReadConfig(writeFile(t, "bitbucket.properties",
		"jdbc.password={ATL_SECURED}\nplugin.password={ENC}{\"region\":\"eu-west-1\","+
			"\"secretId\":\"db\"}\n"))
	require.NoError(t, err)
	settings, err := r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.Equal(t, map[string]string{"plugin.password": "other"}, revealMap(settings.Secrets))
}
