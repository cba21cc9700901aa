// Package dsn_test checks that real drivers and servers read the data sources of
// internal/atlassian/jdbc with the meaning of the JDBC URL.
package dsn_test

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// printable has the visible ASCII characters and the space.
var printable = func() string {
	var b strings.Builder
	for c := ' '; c <= '~'; c++ {
		b.WriteRune(c)
	}
	return b.String()
}()

// values returns names and passwords: each printable character alone, at the start, in
// the middle and at the end, all together, and texts that are difficult to parse.
func values() (all []string) {
	for c := range strings.SplitSeq(printable, "") {
		all = append(all, c, c+"x", "x"+c+"x", "x"+c)
	}
	return append(all, printable, printable+printable, "%41", "%2541", "%zz", "%", `\'`, `\\`, `'';--`,
		`"";`, "''", `""`, "  both ends  ", "a b",
		"ä", "Käse-Straße", "日本語", "🔑🗝", "a\tb", "a\nb\r\n", "{a}", "{a}}", "${x}", "p@ss:w/rd?x=y&z#f",
		"a=b", "x;y=z", "tcp(db:1)/x?tls=false",
		"user=x password=y", "postgres://u:p@h/d", strings.Repeat("long ", 200))
}

// source calls [jdbc.Source] and fails if it ignores other options than these.
func source(t testing.TB, d jdbc.Database, ignored ...string) (driver, dsn string) {
	t.Helper()
	s, err := jdbc.Source(d)
	require.NoError(t, err)
	require.Equal(t, ignored, s.Ignored)
	return s.Driver, s.Name
}

// escape encodes a value for java.net.URLDecoder.
func escape(s string) string { return url.QueryEscape(s) }

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}
