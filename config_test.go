package secretref_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolveConfig_userName(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"user":"bitbucket","password":"`+canary+`"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	entry := func(key, pointer string) secretref.Entry {
		return secretref.Entry{
			Key: key, Value: secretref.NewSecret(`{ENC}{"region":"eu-west-1","secretId":"db",` +
				`"secretPointer":"` + pointer + `"}`), Line: 1,
		}
	}
	c := &secretref.ConfigFile{
		Product: secretref.Bitbucket, Entries: []secretref.Entry{
			entry("jdbc.user", "/user"), entry("jdbc.password", "/password"),
		},
	}
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "bitbucket", settings.Database.Username)
	require.Equal(t, canary, settings.Database.Password.Reveal())
	require.Equal(t, 1, fake.Calls())

	c.Entries[0] = entry("jdbc.user", "/nobody")
	settings, err = r.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrPointer)
	require.Empty(t, settings.Database.Username, "a reference is not used as the user name")
}

func TestResolveConfig_noPassword(t *testing.T) {
	c := &secretref.ConfigFile{
		Product: secretref.Confluence, Path: "confluence.cfg.xml", Entries: []secretref.Entry{
			{Key: "hibernate.connection.url", Value: secretref.NewSecret("jdbc:postgresql://db/c?password=" +
				canary), Line: 1},
		}}
	var log bytes.Buffer
	r := secretref.New(&secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer r.Close()
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, log.String(), "no password")
	require.NotContains(t, log.String()+fmt.Sprintf("%+v %#v", settings, *settings), canary)

	strict := secretref.New(&secretref.Options{Strict: true})
	defer strict.Close()
	_, err = strict.ResolveConfig(t.Context(), c)
	require.ErrorIs(t, err, secretref.ErrNotReference)
}

func TestResolveConfig(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"ap-southeast-2","secretId":"mySecretId"}`, `{"password":"from AWS"}`)
	fake.Set(`{"region":"ap-southeast-2","secretId":"search"}`, "for search")
	fake.Set(`{"mount":"secret","path":"sample/secret","key":"password",`+
		`"endpoint":"https://vault.example.com:8200","authenticationType":"KUBERNETES"}`, "from Vault")
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	type database struct{ driver, url, username, schema string }
	const driver = "org.postgresql.Driver"
	for home, want := range map[string]struct {
		database database
		password string
		secrets  map[string]string
	}{
		"testdata/jira": {database{
			driver, "jdbc:postgresql://dbserver:5432/jiradb", "jiradbuser", "public",
		},
			"from AWS", map[string]string{jiraPassword: "from AWS"}},
		"testdata/confluence": {
			database{driver, "jdbc:postgresql://dbserver:5432/confluence?ssl=true&sslmode=require",
				"confluenceuser", ""},
			"from Vault", map[string]string{"hibernate.connection.password": "from Vault"}},
		"testdata/bitbucket": {
			database{driver, "jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master",
				"bitbucket", ""},
			"from AWS", map[string]string{
				"jdbc.password": "from AWS", "plugin.search.config.password": "for search",
			}},
		"testdata/bamboo": {database{driver, "jdbc:postgresql://dbserver:5432/bamboo", "bamboouser", ""},
			"bamboo's own", map[string]string{"hibernate.connection.password": "bamboo's own"}},
		"testdata/crowd": {database{
			driver, "jdbc:postgresql://dbserver:5432/crowd?reWriteBatchedInserts=true", "crowduser", "",
		},
			"päßwörd-密码", map[string]string{"hibernate.connection.password": "päßwörd-密码"}},
	} {
		c, err := secretref.ReadConfig(home)
		require.NoError(t, err)
		got, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, c.Product, got.Product)
		require.Equal(t, want.password, got.Database.Password.Reveal())
		require.Equal(t, want.secrets, revealMap(got.Secrets))
		d := got.Database
		require.Equal(t, want.database, database{d.Driver, d.URL.Reveal(), d.Username, d.Schema})
	}
}

func TestResolveConfig_twoDatabases(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	for _, key := range []string{"url", "username", "driver-class"} {
		c := readConfig(t, "dbconfig.xml", jiraFile("password", "x", key, "one", key, "two"))
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrSyntax, key)
		require.ErrorContains(t, err, key)
	}
	c := readConfig(t, "dbconfig.xml", jiraFile("password", "x", "url", "jdbc:postgresql://db/x",
		"url", "jdbc:postgresql://db/x"))
	_, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err, "the same value twice")
}

func TestResolveConfig_emptyPassword(t *testing.T) {
	for _, file := range []struct{ name, text, place string }{
		{"dbconfig.xml", jiraFile("password", ""), "dbconfig.xml:3: " + jiraPassword},
		{"confluence.cfg.xml", confluenceFile("hibernate.connection.password", ""),
			"confluence.cfg.xml:3: hibernate.connection.password"},
		{"bitbucket.properties", "\njdbc.password=\n", "bitbucket.properties:2: jdbc.password"},
	} {
		c := readConfig(t, file.name, file.text)
		var log bytes.Buffer
		r := secretref.New(&secretref.Options{
			Fake: secretref.NewFake(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		defer r.Close()
		got, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		require.True(t, got.Database.Password.IsZero())
		require.Len(t, got.Secrets, 1)
		require.Contains(t, log.String(), "level=WARN")
		require.Contains(t, log.String(), file.place)

		strict := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Strict: true})
		defer strict.Close()
		got, err = strict.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrNotReference)
		require.ErrorContains(t, err, file.place)
		require.Empty(t, got.Secrets)
	}
}

func TestResolveConfig_strict(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), Strict: true})
	defer r.Close()
	for file, text := range map[string]string{
		"dbconfig.xml":         jiraFile("password", canary),
		"confluence.cfg.xml":   confluenceFile("hibernate.connection.password", canary),
		"bitbucket.properties": "jdbc.password=" + canary,
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, text))
		require.ErrorIs(t, err, secretref.ErrNotReference)
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
	}
}

func TestResolveConfig_noSecrets(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	for file, text := range map[string]string{
		"dbconfig.xml":         jiraFile("username", "sa"),
		"confluence.cfg.xml":   confluenceFile("hibernate.connection.username", "sa"),
		"bitbucket.properties": "jdbc.user=sa",
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, file, text))
		require.NoError(t, err)
		require.Equal(t, "sa", got.Database.Username)
		require.Empty(t, got.Secrets)
		require.True(t, got.Database.Password.IsZero())
	}
}

func TestResolveConfig_contradictions(t *testing.T) {
	const name, class, property = "atlassian-password-cipher-provider",
		"jdbc.password.decrypter.classname", "hibernate.connection.password"
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for _, row := range []struct{ file, text string }{
		{"dbconfig.xml", jiraFile("password", awsRef, "password", canary)},
		{"dbconfig.xml", jiraFile("password", awsRef, name, awsClass, name, vaultClass)},
		{"confluence.cfg.xml", confluenceFile(property, awsRef, property, canary)},
		{"confluence.cfg.xml", confluenceFile(property, awsRef, class, awsClass, class, vaultClass)},
	} {
		got, err := r.ResolveConfig(t.Context(), readConfig(t, row.file, row.text))
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err, row.file)
		require.ErrorContains(t, err, "line")
		require.NotContains(t, err.Error(), canary)
		require.Empty(t, got.Secrets)
	}
	require.Zero(t, fake.Calls())

	got, err := r.ResolveConfig(t.Context(), readConfig(t, "dbconfig.xml",
		jiraFile("password", awsRef, "password", awsRef)))
	require.NoError(t, err, "the same value twice")
	require.Equal(t, secretBehind, got.Database.Password.Reveal())
}

func TestResolveConfig_madeByHand(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), &secretref.ConfigFile{
		Product: secretref.Jira, Path: "x.xml", Entries: []secretref.Entry{
			{Key: jiraPassword, Value: secretref.NewSecret(awsRef)},
		},
	})
	require.NoError(t, err)
	require.Equal(t, secretBehind, got.Database.Password.Reveal())
	for _, c := range []*secretref.ConfigFile{
		{},
		{Product: "fisheye", Entries: []secretref.Entry{
			{Key: "hibernate.connection.password", Value: secretref.NewSecret(canary)},
		}},
		{Product: secretref.Jira, Entries: []secretref.Entry{{Key: "jndi-datasource"}}},
	} {
		got, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
		require.NotNil(t, got)
		require.Empty(t, got.Secrets)
	}
}

func TestResolveConfig_errorsHideSecrets(t *testing.T) {
	r := secretref.New(&secretref.Options{
		Fake: configFake(), Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
			return nil, errors.New("the store quotes " + canary)
		})})
	defer r.Close()
	for _, text := range []string{
		jiraFile("password", "{ENC}"+canary),
		jiraFile("password", `{"region":"`+canary+`"`),
		jiraFile("password", `{"region":"eu-west-1","secretId":"db","`+canary+`!":"x"}`),
		jiraFile("password", canary, "atlassian-password-cipher-provider", vaultClass),
		jiraFile("password", canary, "atlassian-password-cipher-provider", "com.example.Other"),
		jiraFile("password", canary, "atlassian-password-cipher-provider", "com.example.Store"),
		jiraFile("password", canary, "password", canary+"2"),
		jiraFile("password", `{"storeId":"`+canary+`"}`),
	} {
		_, err := r.ResolveConfig(t.Context(), readConfig(t, "dbconfig.xml", text))
		require.Error(t, err)
		requireQuiet(t, err)
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		requireQuiet(t, located)
	}
}

func TestWatchConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := configFake()
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		c, err := secretref.ReadConfig("testdata/jira/dbconfig.xml")
		require.NoError(t, err)
		for i, e := range c.Entries {
			if e.Key == "jdbc-datasource/password" {
				c.Entries[i].Value = secretref.NewSecret(strings.TrimPrefix(awsRef, "{ENC}"))
			}
		}
		live, err := r.WatchConfig(t.Context(), c)
		require.NoError(t, err)
		first := live.Value()
		require.Equal(t, secretBehind, first.Database.Password.Reveal())
		require.False(t, first.Database.URL.IsZero())
		fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"next"}`)
		time.Sleep(5 * time.Minute)
		require.Equal(t, "next", live.Value().Database.Password.Reveal())
		require.Equal(t, "next", live.Value().Secrets["jdbc-datasource/password"].Reveal())
		require.Equal(t, secretBehind, first.Database.Password.Reveal(),
			"earlier Settings are not modified")
		require.Equal(t, first.Database.URL.Reveal(), live.Value().Database.URL.Reveal())

		c.Entries = nil
		_, err = secretref.New(&secretref.Options{Strict: true}).WatchConfig(t.Context(),
			&secretref.ConfigFile{Product: secretref.Bitbucket,
				Entries: []secretref.Entry{{Key: "jdbc.url", Value: secretref.NewSecret("jdbc:x")}}})
		require.ErrorIs(t, err, secretref.ErrNotReference)
	})
}
