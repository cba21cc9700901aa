package secretref_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

const bitbucketAWS = "jdbc.password.decrypter.classname=" + awsClass + "\n"

func TestResolveConfig_placeholder(t *testing.T) {
	fake := configFake()
	r := secretref.New(&secretref.Options{Fake: fake, Strict: true})
	defer r.Close()
	const url, user, password = "jdbc.url=jdbc:postgresql://db/x\n", "jdbc.user=app\n",
		"jdbc.password={ENC}" + `{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}` +
			"\n"
	for name, row := range map[string]struct{ text, at string }{
		"url": {
			"jdbc.url=jdbc:postgresql://${DB_HOST}/x\n" + user + password,
			"bitbucket.properties:1: jdbc.url",
		},
		"the whole url": {
			"jdbc.url=${DB_URL}\n" + user + password, "bitbucket.properties:1: jdbc.url",
		},
		"user": {
			url + "jdbc.user=${DB_USER}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"user with a default": {
			url + "jdbc.user=${DB_USER:app}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"password": {
			url + user + "jdbc.password=" + canary + "${DB_PASSWORD}\n",
			"bitbucket.properties:3: jdbc.password",
		},
		"driver": {
			url + user + password + "jdbc.driver=${DB_DRIVER}\n", "bitbucket.properties:4: jdbc.driver",
		},
		"class of the password": {
			url + user + "jdbc.password.decrypter.classname=${CLASS}\njdbc.password=" + canary,
			"bitbucket.properties:4: jdbc.password",
		},
		"coordinates": {
			url + user + bitbucketAWS + `jdbc.password={"region":"eu-west-1","secretId":"${STAGE}/db"}`,
			"bitbucket.properties:4: jdbc.password",
		},
		"another secret": {
			url + user + password +
				`mail={ENC}{"region":"${AWS_REGION}","secretId":"db","secretPointer":"/password"}`,
			"bitbucket.properties:4: mail",
		},
		"escaped for Spring": {
			url + "jdbc.user=\\\\${DB_USER}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"escaped for the file": {
			url + "jdbc.user=\\$\\{DB_USER\\}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"written with a number": {
			url + "jdbc.user=\\u0024{DB_USER}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"nested": {
			url + "jdbc.user=${A${B}}\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"inside of other text": {
			url + "jdbc.user=a${B}c\n" + password, "bitbucket.properties:2: jdbc.user",
		},
		"the last of two entries": {
			url + user + password + "jdbc.user=${DB_USER}\n", "bitbucket.properties:4: jdbc.user",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := readConfig(t, "bitbucket.properties", row.text)
			got, err := r.ResolveConfig(t.Context(), c)
			require.ErrorIs(t, err, secretref.ErrUnsupported)
			require.ErrorContains(t, err,
				"secretref: "+row.at+": unsupported: it contains a ${…}, "+
					"which the product replaces")
			require.NotContains(t, err.Error(), canary)
			for _, text := range []string{
				got.Database.URL.Reveal(), got.Database.Username, got.Database.Driver,
				got.Database.Password.Reveal(),
			} {
				require.NotContains(t, text, "${")
			}
			_, err = r.WatchConfig(t.Context(), c)
			require.ErrorIs(t, err, secretref.ErrUnsupported)
		})
	}

	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties",
		url+"jdbc.user=a${b\n"+password+"x=${Y}\njdbc.driver=$x{y}"))
	require.NoError(t, err, "text that is not a placeholder, and a placeholder in an unused value")
	require.Equal(t, "a${b", got.Database.Username)
	require.Equal(t, secretBehind, got.Database.Password.Reveal())

	lenient := secretref.New(&secretref.Options{Fake: fake})
	defer lenient.Close()
	got, err = lenient.ResolveConfig(t.Context(),
		readConfig(t, "confluence.cfg.xml", confluenceFile("hibernate.connection.url",
			"jdbc:h2:${confluenceHome}/db",
			"hibernate.connection.username", "${x}", "hibernate.connection.password", "pa${ss}")))
	require.NoError(t, err, "XML files have no placeholders")
	require.Equal(t, "jdbc:h2:${confluenceHome}/db", got.Database.URL.Reveal())
	require.Equal(t, "${x}", got.Database.Username)
	require.Equal(t, "pa${ss}", got.Database.Password.Reveal())
}

func TestConfigFile_WithEnvironment(t *testing.T) {
	get := func(t *testing.T, c *secretref.ConfigFile, key string) string {
		t.Helper()
		value, ok := c.Get(key)
		require.True(t, ok, key)
		return value.Reveal()
	}
	const coordinates = `{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`

	t.Run("official chart", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake(), Strict: true})
		defer r.Close()
		c := readConfig(t, "bitbucket.properties",
			"server.port=7990\nplugin.search.config.password="+canary+"\n")
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrNotFound)
		require.ErrorContains(t, err, "WithEnvironment")
		require.ErrorContains(t, err, "JDBC_URL")

		with := c.WithEnvironment([]string{
			"JDBC_DRIVER=org.postgresql.Driver", "JDBC_URL=jdbc:postgresql://db/bitbucket", "JDBC_USER=app",
			"JDBC_PASSWORD=" + coordinates,
			"JDBC_PASSWORD_DECRYPTER_CLASSNAME=" + awsClass,
			"PLUGIN_SEARCH_CONFIG_PASSWORD={ENC}" + coordinates, "HOME=/root", "=C:=C:\\x", "odd"})
		require.Len(t, c.Entries, 2, "c is not modified")
		got, err := r.ResolveConfig(t.Context(), with)
		require.NoError(t, err)
		require.Equal(t, "org.postgresql.Driver", got.Database.Driver)
		require.Equal(t, "jdbc:postgresql://db/bitbucket", got.Database.URL.Reveal())
		require.Equal(t, "app", got.Database.Username)
		require.Equal(t, secretBehind, got.Database.Password.Reveal())
		require.Equal(t, map[string]string{
			"jdbc.password": secretBehind, "plugin.search.config.password": secretBehind,
		}, revealMap(got.Secrets))
		require.Equal(t, []setting{
			{"server.port", "7990", 1}, {"plugin.search.config.password", canary, 2},
		}, settingsOf(with)[:2])
		for _, e := range with.Entries[2:] {
			require.Zero(t, e.Line)
		}

		got, err = r.ResolveConfig(t.Context(), (&secretref.ConfigFile{
			Product: secretref.Bitbucket,
		}).WithEnvironment([]string{"JDBC_URL=jdbc:postgresql://db/x", "JDBC_PASSWORD=" + coordinates}))
		require.NoError(t, err, "without a file")
		require.Equal(t, secretBehind, got.Database.Password.Reveal())
	})

	t.Run("variables take precedence over the file", func(t *testing.T) {
		c := readConfig(t, "bitbucket.properties",
			"jdbc.url=1\njdbc.user=2\njdbc.password=3\na.b-c.d=4\nempty=5\nfirst=6\nexact=7\nother=8\n")
		with := c.WithEnvironment([]string{
			"JDBC_URL=one", "jdbc_user=two", "jdbc.password=three", "A_B_C_D=four", "EMPTY=", "FIRST=six",
			"FIRST=later", "exact=seven", "EXACT=SEVEN", "OTHERS=x",
		})
		for key, want := range map[string]string{
			"jdbc.url": "one", "jdbc.user": "two", "jdbc.password": "three", "a.b-c.d": "four", "empty": "",
			"first": "six", "exact": "seven", "other": "8",
		} {
			require.Equal(t, want, get(t, with, key), key)
		}
		require.Equal(t, "1", get(t, c, "jdbc.url"))
	})

	t.Run("placeholders", func(t *testing.T) {
		for value, want := range map[string]string{
			"${DB_USER}":              "app",
			"a${DB_USER}b${DB_USER}c": "aappbappc",
			"${db.user}":              "app",
			"${db-user}":              "app",
			"${DB_USER:x}":            "app",
			"${NONE:x}":               "x",
			"${NONE:}":                "",
			"${NONE:a:b}":             "a:b",
			"${NONE:${DB_USER}}":      "app",
			"${NONE:${NONE2:y}}":      "y",
			"${${NAME}}":              "app",
			"${DB_${PART}}":           "app",
			"${NONE:{x}}":             "{x}",
			"${INDIRECT}":             "<app>",
			"${other.key}":            "from the file app",
			"${shadowed}":             "from the environment",
			"${odd:name}":             "whole",
			"${BLANK:x}":              "",
			"$DB_USER":                "$DB_USER",
			"{DB_USER}":               "{DB_USER}",
			"${DB_USER":               "${DB_USER",
			"${DB_USER} ${DB_USER":    "app ${DB_USER",
			"#{DB_USER}":              "#{DB_USER}",
			"${NONE}":                 "${NONE}",
			"${DB_USER}${NONE}":       "app${NONE}",
			"${NONE:${NONE2}}":        "${NONE:${NONE2}}",
			`\\${DB_USER}`:            `\${DB_USER}`,
			"${LOOP}":                 "${LOOP}",
			"${loop.a}":               "${loop.a}",
			"${${DB_USER}":            "${${DB_USER}", // not closed
		} {
			c := readConfig(t, "bitbucket.properties",
				"other.key=from the file ${DB_USER}\nshadowed=no\nloop.a=${loop.b}\nloop.b=${loop.a}\njdbc.user="+value+"\n")
			with := c.WithEnvironment([]string{
				"DB_USER=app", "NAME=DB_USER", "PART=USER", "INDIRECT=<${DB_USER}>",
				"SHADOWED=from the environment", "odd:name=whole", "BLANK=",
				"LOOP=x${LOOP}"})
			require.Equal(t, want, get(t, with, "jdbc.user"), value)
			require.Equal(t, 5, with.Entries[4].Line)
		}
	})

	t.Run("values that grow exponentially", func(t *testing.T) {
		text := "a0=" + canary + "\n"
		for i := range 40 {
			text += fmt.Sprintf("a%d=${a%d}${a%[2]d}\n", i+1, i)
		}
		with := readConfig(t, "bitbucket.properties", text+"jdbc.user=${a30}\n").WithEnvironment(nil)
		require.Less(t, len(get(t, with, "jdbc.user")), 5<<20)
	})

	t.Run("the source names the variable", func(t *testing.T) {
		r := secretref.New(&secretref.Options{Fake: configFake()})
		defer r.Close()
		c := readConfig(t, "bitbucket.properties", "jdbc.url=x\n").WithEnvironment([]string{
			`JDBC_PASSWORD={"region":"eu-west-1","secretID":"db"}`, "JDBC_USER=${NONE}",
		})
		_, err := r.ResolveConfig(t.Context(), c)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		require.ErrorContains(t, err,
			"secretref: bitbucket.properties: variable JDBC_PASSWORD: jdbc.password: syntax error")
		require.ErrorContains(t, err,
			"secretref: bitbucket.properties: variable JDBC_USER: jdbc.user: unsupported")
		requireSilent(t, readConfig(t, "bitbucket.properties",
			"").WithEnvironment([]string{"JDBC_PASSWORD=" + canary}))
	})

	t.Run("other products", func(t *testing.T) {
		c := readConfig(t, "dbconfig.xml", jiraFile("username", "${A}", "url", "u"))
		with := c.WithEnvironment([]string{"A=b", "JDBC_URL=x"})
		require.Equal(t, settingsOf(c), settingsOf(with))
		require.NotSame(t, c, with)
	})
}

func TestResolveConfig_noURL(t *testing.T) {
	var log bytes.Buffer
	r := secretref.New(&secretref.Options{
		Fake: configFake(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	defer r.Close()
	got, err := r.ResolveConfig(t.Context(), readConfig(t, "bitbucket.properties",
		`jdbc.password={ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`))
	require.NoError(t, err)
	require.Equal(t, secretBehind, got.Database.Password.Reveal())
	require.Contains(t, log.String(), "environment")
	source, err := got.Database.DataSource()
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.ErrorContains(t, err, "JDBC_URL")
	require.Zero(t, source)
}
