package dsn_test

import (
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// text returns a string literal of MariaDB.
func text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
}

func backticks(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func TestMariaDBPasswords(t *testing.T) {
	d := databases.MariaDB(t)
	admin := d.Admin(t)
	for _, password := range append(values(), "") {
		exec(t, admin, "SET PASSWORD FOR "+d.User+"@'%' = PASSWORD("+text(password)+")")
		for _, url := range []string{"jdbc:mysql://" + d.Addr + "/" + d.Name,
			"jdbc:mariadb://" + d.Addr + "/" + d.Name} {
			driver, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: password})
			got, err := login(t, driver, dsn, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), DATABASE()")
			require.NoError(t, err, "%q", password)
			require.Equal(t, []string{d.User, d.Name}, got)
		}
		driver, dsn := source(t,
			jdbc.Database{URL: "jdbc:mysql://" + d.Addr + "/" + d.Name, Username: d.User,
				Password: password + "!"})
		_, err := login(t, driver, dsn, "SELECT 1")
		require.ErrorContains(t, err, "Access denied", "%q", password)
	}
}

func TestMariaDBNames(t *testing.T) {
	d := databases.MariaDB(t)
	admin := d.Admin(t)
	for _, name := range values() {
		if name == "''" { // the server takes quotes around a user's name for quotes
			continue
		}
		if len(name) > 64 || strings.TrimSpace(name) != name || strings.ContainsAny(name, ":\n\r\t") ||
			strings.Contains(name, "🔑") {
			continue // no such names in MariaDB, or, with the colon, in the driver's data source
		}
		user := text(name) + "@'%'"
		exec(t, admin, "CREATE DATABASE "+backticks(name), "CREATE USER "+user+" IDENTIFIED BY 'p'",
			"GRANT ALL ON *.* TO "+user)
		driver, dsn := source(t,
			jdbc.Database{URL: "jdbc:mysql://" + d.Addr + "/" + escape(name), Username: name, Password: "p"})
		got, err := login(t, driver, dsn,
			"SELECT LEFT(USER(), CHAR_LENGTH(USER()) - CHAR_LENGTH(SUBSTRING_INDEX(USER(), '@', -1)) - 1), DATABASE()")
		require.NoError(t, err, "%q", name)
		require.Equal(t, []string{name, name}, got)
		exec(t, admin, "DROP DATABASE "+backticks(name), "DROP USER "+user)
	}
}

func TestMariaDBSettings(t *testing.T) {
	d := databases.MariaDB(t)
	driver, dsn := source(t,
		jdbc.Database{URL: "jdbc:mysql://" + d.Addr + "/" + d.Name +
			"?useSSL=false&useUnicode=true&characterEncoding=UTF-8&connectionCollation=utf8mb4_bin" +
			"&sessionVariables=sql_mode=%27ANSI,NO_ZERO_DATE%27,@@session.lock_wait_timeout=77&serverTimezone=UTC&forceConnectionTimeZoneToSession=true" +
			"&socketTimeout=20000&connectTimeout=5000&useCompression=true&allowMultiQueries=true",
			Username: d.User, Password: d.Password})
	got, err := login(t, driver, dsn,
		"SELECT @@sql_mode LIKE '%ANSI%NO_ZERO_DATE%' OR @@sql_mode LIKE '%NO_ZERO_DATE%ANSI%', @@lock_wait_timeout, @@collation_connection, @@time_zone, 'ä🔑'")
	require.NoError(t, err)
	require.Equal(t, []string{"1", "77", "utf8mb4_bin", "+00:00", "ä🔑"}, got)
}

// TestMariaDBTimeZone checks that a DATETIME is read in the time zone of the URL.
func TestMariaDBTimeZone(t *testing.T) {
	d := databases.MariaDB(t)
	for zone, want := range map[string]string{"Europe/Berlin": "2026-01-02T03:04:05+01:00",
		"UTC": "2026-01-02T03:04:05Z"} {
		driver, dsn := source(t,
			jdbc.Database{URL: "jdbc:mariadb://" + d.Addr + "/" + d.Name + "?timezone=" + zone,
				Username: d.User, Password: d.Password})
		db := open(t, driver, dsn)
		var at time.Time
		require.NoError(t, db.QueryRow("SELECT CAST('2026-01-02 03:04:05' AS DATETIME)").Scan(&at))
		require.Equal(t, want, at.Format(time.RFC3339))
	}
}

// TestMariaDBWithoutTLS checks that every option that requires TLS fails on a server
// without it.
func TestMariaDBWithoutTLS(t *testing.T) {
	d := databases.MariaDB(t)
	var tls string
	require.NoError(t, d.Open(t).QueryRow("SELECT @@have_ssl").Scan(&tls))
	if tls == "YES" {
		t.Skip("this MariaDB makes a certificate by itself")
	}
	host, port, _ := strings.Cut(d.Addr, ":")
	address := "address=(protocol=tcp)(host=" + host + ")(port=" + port + ")"
	for url, connects := range map[string]bool{
		"jdbc:mysql://" + address + "/" + d.Name +
			"?sessionVariables=default_storage_engine=InnoDB": true, // Jira's own
		"jdbc:mysql://" + d.Addr + "/" +
			d.Name: true,
		"jdbc:mysql://" + d.Addr + "/" + d.Name +
			"?useSSL=false": true,
		"jdbc:mysql://" + d.Addr + "/" + d.Name +
			"?useSSL=true&verifyServerCertificate=false": false,
		"jdbc:mysql://" + d.Addr + "/" + d.Name +
			"?sslMode=REQUIRED": false,
		"jdbc:mysql://" + d.Addr + "/" + d.Name +
			"?sslMode=VERIFY_IDENTITY": false,
		"jdbc:mariadb://" + d.Addr + "/" +
			d.Name: true,
		"jdbc:mariadb://" + d.Addr + "/" + d.Name +
			"?sslMode=trust": false,
		"jdbc:mariadb://" + d.Addr + "/" + d.Name +
			"?useSsl=true": false,
	} {
		driver, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: d.Password})
		_, err := login(t, driver, dsn, "SELECT 1")
		require.Equal(t, connects, err == nil, "%s: %v", url, err)
	}
}
