package jdbc_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// postgresSource parses postgres://user:password@host:port/database?name=value
// according to RFC 3986, with lists of hosts and ports as options.
func postgresSource(t testing.TB, dsn string) map[string]string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	require.Equal(t, "postgres", u.Scheme)
	require.NotContains(t, dsn, "+", "not every driver reads it as a space")
	password, _ := u.User.Password()
	all := map[string]string{"user": u.User.Username(), "password": password, "host": u.Hostname(),
		"port": u.Port(), "dbname": strings.TrimPrefix(u.Path, "/")}
	for name, values := range u.Query() {
		require.Len(t, values, 1, name)
		require.Empty(t, all[name], name)
		all[name] = values[0]
	}
	return all
}

// mysqlSource parses go-sql-driver's [user[:password]@][net[(addr)]]/dbname[?param=value]
// as documented, from the end to the start.
func mysqlSource(t testing.TB, dsn string) map[string]string {
	t.Helper()
	login, tail, ok := cutLast(dsn, "/")
	require.True(t, ok)
	database, query, _ := strings.Cut(tail, "?")
	account, network, ok := cutLast(login, "@")
	require.True(t, ok)
	user, password, _ := strings.Cut(account, ":")
	database, err := url.PathUnescape(database)
	require.NoError(t, err)
	all := map[string]string{"user": user, "password": password, "network": network,
		"database": database}
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		require.NotContains(t, all, name)
		all[name], err = url.QueryUnescape(value)
		require.NoError(t, err)
	}
	return all
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// sqlServerSource reads sqlserver://user:password@host:port/instance?name=value.
func sqlServerSource(t testing.TB, dsn string) map[string]string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	require.Equal(t, "sqlserver", u.Scheme)
	password, _ := u.User.Password()
	all := map[string]string{"user": u.User.Username(), "password": password, "host": u.Hostname(),
		"port": u.Port(), "instance": strings.TrimPrefix(u.Path, "/")}
	for name, values := range u.Query() {
		require.Len(t, values, 1)
		all[strings.ToLower(name)] = values[0]
	}
	return all
}
