package dsn_test

import (
	"database/sql"
	"net"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}

// login opens a connection and queries the server for the user and the database.
func login(t *testing.T, driver, dsn, query string) ([]string, error) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	require.True(t, rows.Next(), rows.Err())
	answer, into := make([]string, len(names)), make([]any, len(names))
	for i := range answer {
		into[i] = &answer[i]
	}
	require.NoError(t, rows.Scan(into...))
	return answer, nil
}

const whereAmI = "SELECT current_user::text, current_database()::text, current_schema()::text"

func TestPostgreSQLPasswords(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for _, password := range values() {
		exec(t, admin, "ALTER ROLE "+d.User+" PASSWORD "+literal(password))
		url := "jdbc:postgresql://" + d.Addr + "/postgres"
		_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: password, Schema: d.Name})
		got, err := login(t, "pgx", dsn, whereAmI)
		require.NoError(t, err, "%q", password)
		require.Equal(t, []string{d.User, "postgres", d.Name}, got)

		_, dsn = source(t, jdbc.Database{URL: url, Username: d.User, Password: password + "!"})
		_, err = login(t, "pgx", dsn, whereAmI)
		require.ErrorContains(t, err, "password authentication failed", "%q", password)
	}
}

func TestPostgreSQLUserAndSchema(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for i, name := range values() {
		if len(name) > 63 {
			continue // the server cuts longer ones
		}
		schema := name + "s"
		exec(t, admin, "CREATE ROLE "+identifier(name)+" LOGIN PASSWORD 'p'",
			"CREATE SCHEMA "+identifier(schema)+" AUTHORIZATION "+identifier(name))
		database := []jdbc.Database{ // in turn
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres", Username: name, Password: "p",
				Schema: schema},
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres?user=" + escape(name) +
				"&password=p&currentSchema=" + escape(identifier(schema))},
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres?currentSchema=pg_catalog,%20" +
				escape(identifier(schema)), Username: name, Password: "p", Schema: schema},
		}[i%3]
		_, dsn := source(t, database)
		got, err := login(t, "pgx", dsn, whereAmI)
		require.NoError(t, err, "%q", name)
		require.Equal(t, []string{name, "postgres", schema}, got)
		exec(t, admin, "DROP SCHEMA "+identifier(schema), "DROP ROLE "+identifier(name))
	}
}

func TestPostgreSQLDatabase(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	names := []string{printable[:48], printable[48:], " both ends ", "%41", "a+b c/d", "ä🔑", `"`, `\`,
		"'", "?", "#&="}
	for _, name := range names {
		exec(t, admin, "CREATE DATABASE "+identifier(name))
		t.Cleanup(func() { _, _ = d.Admin(t).Exec("DROP DATABASE " + identifier(name)) })
		for _, url := range []string{"jdbc:postgresql://" + d.Addr + "/" + escape(name),
			"jdbc:postgresql://" + d.Addr + "/?PGDBNAME=" + escape(name)} {
			_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: d.Password})
			got, err := login(t, "pgx", dsn, "SELECT current_database()::text")
			require.NoError(t, err, "%q", name)
			require.Equal(t, []string{name}, got)
		}
	}
}

// TestPostgreSQLSettings checks the search path and the options on the server.
func TestPostgreSQLSettings(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	url := "jdbc:postgresql://" + d.Addr +
		"/postgres?currentSchema=%22A,b%22,Pub%22lic&options=-c%20statement_timeout=90s%20-c%20work_mem=7MB" +
		"&ApplicationName=it%27s&readOnly=true&tcpKeepAlive=true&reWriteBatchedInserts=true"
	url = strings.Replace(url, "Pub%22lic", "Public", 1)
	_, dsn := source(t,
		jdbc.Database{URL: url, Username: d.User, Password: d.Password, Schema: "First One"},
		"reWriteBatchedInserts")
	got, err := login(t, "pgx", dsn,
		"SELECT current_setting('search_path'), current_setting('statement_timeout'), current_setting('work_mem'), current_setting('application_name'), current_setting('transaction_read_only')")
	require.NoError(t, err)
	require.Equal(t, []string{`"First One", "A,b", "public"`, "90s", "7MB", "it's", "on"}, got)
}

func TestPostgreSQLHosts(t *testing.T) {
	isolate(t)
	primary, standby := databases.PostgreSQL(t), databases.OwnPostgreSQL(t)
	exec(t, standby.Admin(t), "CREATE ROLE "+primary.User+" LOGIN PASSWORD "+literal(primary.Password),
		"COPY (SELECT '') TO PROGRAM 'cat >standby.signal'")
	standby.Restart(t)
	down := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		return l.Addr().String()
	}()
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

	for hosts, want := range map[string]string{
		down + "," + primary.Addr:                                   port(primary.Addr),
		standby.Addr + "," + primary.Addr + "|any":                  port(standby.Addr),
		standby.Addr + "," + primary.Addr + "|primary":              port(primary.Addr),
		standby.Addr + "," + primary.Addr + "|master&readOnly=true": port(primary.Addr),
		primary.Addr + "," + standby.Addr + "|secondary":            port(standby.Addr),
		primary.Addr + "," + standby.Addr + "|slave":                port(standby.Addr),
		primary.Addr + "," + standby.Addr + "|preferSecondary":      port(standby.Addr),
		primary.Addr + "," + down + "|preferSlave":                  port(primary.Addr),
		standby.Addr + "|primary":                                   "",
		primary.Addr + "|slave":                                     "",
	} {
		hosts, kind, found := strings.Cut(hosts, "|")
		url := "jdbc:postgresql://" + hosts + "/postgres?sslmode=prefer"
		if found {
			url += "&targetServerType=" + kind
		}
		_, dsn := source(t, jdbc.Database{URL: url, Username: primary.User, Password: primary.Password})
		got, err := login(t, "pgx", dsn, "SELECT inet_server_port()::text")
		if want == "" {
			require.Error(t, err, "%s", url)
			continue
		}
		require.NoError(t, err, url)
		require.Equal(t, want, got[0], url)
	}
}

// TestLibPQ opens the data source with lib/pq, which reads it from version 1.12 on.
func TestLibPQ(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for _, password := range []string{d.Password, printable, "it's a \\ secret",
		"p@ss:w/rd?x=y&z#f %41", "日本語 🔑"} {
		var quoted string
		require.NoError(t,
			admin.QueryRowContext(t.Context(), "SELECT quote_literal($1)", password).Scan(&quoted))
		exec(t, admin, "ALTER ROLE "+d.User+" PASSWORD "+quoted)
		for _, url := range []string{"jdbc:postgresql://" + d.Addr + "/postgres",
			"jdbc:postgresql://127.0.0.1:1," + d.Addr +
				"/postgres?sslmode=require&targetServerType=master"} {
			_, dsn := source(t,
				jdbc.Database{URL: url, Username: d.User, Password: password, Schema: d.Name})
			connector, err := pq.NewConnector(dsn)
			require.NoError(t, err)
			db := sql.OpenDB(connector)
			var user, name, schema string
			require.NoError(t, db.QueryRowContext(t.Context(), whereAmI).Scan(&user, &name, &schema), "%q",
				password)
			require.Equal(t, []string{d.User, "postgres", d.Name}, []string{user, name, schema})
			require.NoError(t, db.Close())
		}
	}
}
