// Package dsn_test proves that the data sources that internal/jdbc writes say
// to the real drivers, and to real servers, what the JDBC URL says.
package dsn_test

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// printable is all of ASCII that can be seen, and the space.
var printable = func() string {
	var b strings.Builder
	for c := ' '; c <= '~'; c++ {
		b.WriteRune(c)
	}
	return b.String()
}()

// values are what a name or a password may be: each printable character alone,
// at the start, in the middle and at the end, all together, and what parsers
// stumble over.
func values() (all []string) {
	for c := range strings.SplitSeq(printable, "") {
		all = append(all, c, c+"x", "x"+c+"x", "x"+c)
	}
	return append(all, printable, printable+printable, "%41", "%2541", "%zz", "%", `\'`, `\\`, `'';--`, `"";`, "''", `""`, "  both ends  ", "a b",
		"ä", "Käse-Straße", "日本語", "🔑🗝", "a\tb", "a\nb\r\n", "{a}", "{a}}", "${x}", "p@ss:w/rd?x=y&z#f", "a=b", "x;y=z", "tcp(db:1)/x?tls=false",
		"user=x password=y", "postgres://u:p@h/d", strings.Repeat("long ", 200))
}

// source is [jdbc.Source] where no option but these is ignored.
func source(t testing.TB, d jdbc.Database, ignored ...string) (driver, dsn string) {
	t.Helper()
	s, err := jdbc.Source(d)
	require.NoError(t, err)
	require.Equal(t, ignored, s.Ignored)
	return s.Driver, s.Name
}

// escape writes a value as java.net.URLDecoder reads it.
func escape(s string) string { return url.QueryEscape(s) }

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}
