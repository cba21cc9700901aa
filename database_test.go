package secretref_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestDatabase_DataSource(t *testing.T) {
	db := secretref.Database{
		Driver: "org.postgresql.Driver", URL: secretref.NewSecret("jdbc:postgresql://db:5433/jira"),
		Username: "app", Schema: "public", Password: secretref.NewSecret(canary),
	}
	source, err := db.DataSource()
	require.NoError(t, err)
	require.Equal(t, "pgx", source.Driver)
	for _, part := range []string{"db", "5433", "jira", "app", canary} {
		require.Contains(t, source.Name.Reveal(), part)
	}
	require.Empty(t, source.Ignored)
	requireSilent(t, source.Name)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", source, source, source), canary)

	db.URL = secretref.NewSecret(db.URL.Reveal() + "?reWriteBatchedInserts=true")
	tuned, err := db.DataSource()
	require.NoError(t, err, "an option that tunes the JDBC driver is ignored")
	require.Equal(t, []string{"reWriteBatchedInserts"}, tuned.Ignored)
	require.True(t, source.Name.Equal(tuned.Name))

	for url, kind := range map[string]error{
		"jdbc:oracle:thin:@//db:1521/jira":                           secretref.ErrUnsupported,
		"jdbc:h2:/var/jira/h2db":                                     secretref.ErrUnsupported,
		"jdbc:postgresql://db/jira?socketFactory=com.example.Tunnel": secretref.ErrUnsupported,
		"jdbc:postgresql://db/jira?password=another-" + canary:       secretref.ErrSyntax,
		"postgresql://db/jira":                                       secretref.ErrSyntax,
		"":                                                           secretref.ErrSyntax,
	} {
		source, err := secretref.Database{
			URL: secretref.NewSecret(url), Username: "app", Password: secretref.NewSecret(canary),
		}.DataSource()
		require.ErrorIs(t, err, kind, url)
		require.Zero(t, source, url)
		require.NotContains(t, err.Error(), canary)
	}
}

func TestDatabase_DataSource_hibernateProperties(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	open := func(properties ...string) (string, error) {
		c := readConfig(t, "confluence.cfg.xml", confluenceFile(append([]string{
			"hibernate.connection.url", "jdbc:postgresql://db/confluence",
			"hibernate.connection.driver_class", "org.postgresql.Driver", "hibernate.connection.username",
			"app", "hibernate.connection.password", "x",
			"hibernate.connection.isolation", "2", "hibernate.connection.autocommit", "false"},
			properties...)...))
		settings, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		source, err := settings.Database.DataSource()
		return source.Name.Reveal(), err
	}
	plain, err := open()
	require.NoError(t, err)
	strict, err := open("hibernate.connection.sslmode", "verify-full",
		"hibernate.connection.sslrootcert", "/etc/ca.pem")
	require.NoError(t, err)
	require.NotEqual(t, plain, strict)
	require.Contains(t, strict, "sslmode=verify-full")
	_, err = open("hibernate.connection.socketFactory", "com.example.Tunnel")
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.ErrorContains(t, err, "socketFactory")
}

func TestDatabase_DataSource_connectionProperties(t *testing.T) {
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	open := func(url, properties string) (string, error) {
		c := readConfig(t, "dbconfig.xml", jiraFile("url", url, "username", "app", "password", "x",
			"connection-properties", properties))
		settings, err := r.ResolveConfig(t.Context(), c)
		require.NoError(t, err)
		source, err := settings.Database.DataSource()
		return source.Name.Reveal(), err
	}
	const url = "jdbc:postgresql://db/jira"
	plain, err := open(url, " tcpKeepAlive=true ; ")
	require.NoError(t, err)

	strict, err := open(url, "tcpKeepAlive=true;sslmode=verify-full; sslrootcert = /etc/ca.pem")
	require.NoError(t, err)
	same, err := open(url+"?sslmode=verify-full&sslrootcert=/etc/ca.pem", "")
	require.NoError(t, err)
	require.Equal(t, same, strict)
	require.NotEqual(t, plain, strict)

	tuned, err := open(url, "reWriteBatchedInserts=true")
	require.NoError(t, err)
	require.Equal(t, plain, tuned)
	none, err := open(url+"?sslmode=disable", "sslmode=verify-full")
	require.ErrorIs(t, err, secretref.ErrSyntax, "the options contradict each other")
	require.Empty(t, none)
}

func TestDatabase_MaskedURL(t *testing.T) {
	d := secretref.Database{
		URL: secretref.NewSecret("jdbc:postgresql://u:" + canary + "@db/x?password=" + canary +
			"&ssl=true"),
	}
	require.Equal(t, "jdbc:postgresql://u:[redacted]@db/x?password=[redacted]&ssl=true", d.MaskedURL())
	require.Empty(t, secretref.Database{}.MaskedURL())
	var decoded secretref.Database
	require.NoError(t, json.Unmarshal([]byte(`{"URL":"jdbc:h2:x;PASSWORD=`+canary+`"}`), &decoded))
	require.NotContains(t, decoded.MaskedURL(), canary)
}
