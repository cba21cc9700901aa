package jdbc_test

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/fault"
)

var printable = func() string {
	var b strings.Builder
	for c := ' '; c <= '~'; c++ {
		b.WriteRune(c)
	}
	return b.String()
}()

// parts are the contents of a URL that a data source must have, too.
type parts struct{ host, port, database, user, password, schema string }

// forms write parts into a URL and read them from the data source. They change parts
// that a form does not support.
var forms = []func(t testing.TB, p parts) (jdbc.Database, parts, func(source string) parts){
	// The database in the URL, user and password in the file.
	func(t testing.TB, p parts) (jdbc.Database, parts, func(string) parts) {
		d := jdbc.Database{URL: "jdbc:postgresql://" + p.host + ":" + p.port + "/" +
			url.QueryEscape(p.database), Username: p.user, Password: p.password, Schema: p.schema}
		return d, p, func(source string) parts { return postgresParts(t, source) }
	},
	// All parts in the parameters.
	func(t testing.TB, p parts) (jdbc.Database, parts, func(string) parts) {
		d := jdbc.Database{URL: "jdbc:postgresql:?PGHOST=" + p.host + "&PGPORT=" + p.port + "&PGDBNAME=" +
			url.QueryEscape(p.database) + "&user=" + url.QueryEscape(p.user) +
			"&password=" + url.QueryEscape(p.password) + "&prepareThreshold=0", Schema: p.schema}
		return d, p, func(source string) parts { return postgresParts(t, source) }
	},
	func(t testing.TB, p parts) (jdbc.Database, parts, func(string) parts) {
		p.database, p.schema, p.user = javaTrim(p.database), "", strings.ReplaceAll(p.user, ":", ".")
		d := jdbc.Database{URL: "jdbc:mysql://" + p.host + ":" + p.port + "/" +
			url.PathEscape(strings.ReplaceAll(p.database, "+", " ")), Username: p.user, Password: p.password}
		p.database = javaTrim(strings.ReplaceAll(p.database, "+", " "))
		return d, p, func(source string) parts { return mysqlParts(t, source) }
	},
	func(t testing.TB, p parts) (jdbc.Database, parts, func(string) parts) {
		p.database, p.schema, p.user = javaTrim(p.database), "", strings.ReplaceAll(p.user, ":", ".")
		d := jdbc.Database{URL: "jdbc:mysql://" + url.QueryEscape(p.user) + ":" +
			url.QueryEscape(p.password) + "@" + p.host + ":" + p.port + "/" + url.QueryEscape(p.database) +
			"?cachePrepStmts=true"}
		return d, p, func(source string) parts { return mysqlParts(t, source) }
	},
	func(t testing.TB, p parts) (jdbc.Database, parts, func(string) parts) {
		p.schema, p.user = "", strings.ReplaceAll(p.user, `\`, "/")
		p.database = strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				return '.'
			}
			return c
		}, p.database)
		d := jdbc.Database{URL: "jdbc:sqlserver://" + p.host + ":" + p.port + ";databaseName={" +
			strings.ReplaceAll(p.database, "}", "}}") + "} ;selectMethod=cursor", Username: p.user,
			Password: p.password}
		return d, p, func(source string) parts {
			m := sqlServerSource(t, source)
			return parts{m["host"], m["port"], m["database"], m["user"], m["password"], ""}
		}
	},
}

func postgresParts(t testing.TB, source string) parts {
	m := postgresSource(t, source)
	// If SQL reads the name in lower case, that name comes first.
	folded, schema, both := strings.Cut(m["search_path"], `", "`)
	if name := strings.TrimSuffix(schema, `"`); both && `"`+asciiLower(name) == folded &&
		regexp.MustCompile(`^[A-Za-z_\x{80}-\x{10ffff}][\w$\x{80}-\x{10ffff}]*$`).MatchString(name) {
		schema = name
	} else {
		schema = strings.TrimSuffix(strings.TrimPrefix(m["search_path"], `"`), `"`)
	}
	return parts{m["host"], m["port"], m["dbname"], m["user"], m["password"],
		strings.ReplaceAll(schema, `""`, `"`)}
}

func mysqlParts(t testing.TB, source string) parts {
	m := mysqlSource(t, source)
	host, port, _ := cutLast(strings.TrimSuffix(strings.TrimPrefix(m["network"], "tcp("), ")"), ":")
	return parts{host, port, m["database"], m["user"], m["password"], ""}
}

func roundTrip(t testing.TB, p parts) {
	t.Helper()
	if p.user == "" || p.database == "" {
		return // these have a default
	}
	for _, form := range forms {
		d, want, read := form(t, p)
		source, err := jdbc.Source(d)
		if want.user == "" || want.database == "" {
			continue
		}
		require.NoError(t, err, "%+v", d)
		require.Equal(t, want, read(source.Name), "%s", d.URL)
	}
}

func TestSourceEveryCharacter(t *testing.T) {
	for c := range strings.SplitSeq(printable, "") {
		for _, v := range []string{c, c + "x", "x" + c + "x", "x" + c} {
			roundTrip(t, parts{"db", "1234", v, v, v, v})
		}
	}
	for _, v := range []string{printable, "%41", "''", `\'`, `"";`, "  x  ", "ä", "🔑", "a\tb\r\nc",
		strings.Repeat("long", 1000)} {
		roundTrip(t, parts{"db.example.com", "1", v, v, v, v})
		roundTrip(t, parts{"db.example.com", "1", "d" + v, "u" + v, "p" + v, "s" + v})
	}
	roundTrip(t, parts{"db", "65535", "d", "u", "", ""})
}

// FuzzParts checks that the data source has all parts of the URL.
func FuzzParts(f *testing.F) {
	f.Add("db", uint16(5432), "jira", "jira", "it's \\ secret", "public")
	f.Add("10.0.0.1", uint16(1), printable, printable, printable, printable)
	f.Add("db-1.example.com", uint16(1433), " a}b{ ", "a:b@c/d", "%41+", `"a"`)
	f.Fuzz(func(t *testing.T, host string, port uint16, database, user, password, schema string) {
		for _, s := range []string{database, user, password, schema} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > 4096 {
				return
			}
		}
		if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" ||
			strings.Trim(host, ".") == "" || port == 0 {
			return
		}
		roundTrip(t, parts{host, strings.TrimLeft(decimal(port), "0"), database, user, password, schema})
	})
}

func decimal(n uint16) string {
	b := []byte("00000")
	for i := len(b) - 1; i >= 0; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return string(b)
}

// FuzzSource checks that there is a valid data source or an error of one of two kinds,
// and that no error depends on the password.
func FuzzSource(f *testing.F) {
	for _, url := range []string{
		"jdbc:postgresql://a:1,[::1]:2/x%20y?ssl=true&currentSchema=%22a%22,b&options=-c%20a=b&targetServerType=slave",
		"jdbc:postgresql:x?PGHOST=a&user=u&password=p",
		"jdbc:mysql://u:p@db:1/x?useSSL=true&sessionVariables=a='b,c',d=e&serverTimezone=UTC",
		"jdbc:mariadb://db/x?localSocket=/s&sslMode=trust", "jdbc:mysql://(host=db)/x",
		`jdbc:sqlserver://db\i:1;databaseName={a}}b};encrypt=strict`,
		"jdbc:jtds:sqlserver://db/x;instance=i;ssl=require", "jdbc:h2:x", "jdbc:oracle:thin:@x",
	} {
		f.Add("", url, "u", "p", "s")
	}
	for _, seed := range [][2]string{
		{postgresClass, "jdbc:postgresql://a/x?Host=a&sslMode=disable&sslrootcert=/r"},
		{connector5, "jdbc:mysql://db/x?requireSSL=true&sslMode=DISABLED"},
		{connector8, "jdbc:mysql://db/x? sslMode =REQUIRED&DBName=y&useSsl=false"},
		{mariadbClass, "jdbc:mysql://address=(host=db)/x?useSSL=1&trustServerCertificate=TRUE"},
		{microsoftClass, "jdbc:sqlserver:// db ; instance=i; Port = 1 ;trustServerCertificate=false"},
		{jtdsClass, "jdbc:jtds:sqlserver://db/;databaseName=x;SSL=require"},
	} {
		f.Add(seed[0], seed[1], "u", "p", "s")
	}
	f.Fuzz(func(t *testing.T, driver, url, user, password, schema string) {
		d := jdbc.Database{Driver: driver, URL: url, Username: user, Password: password + "1",
			Schema: schema}
		source, err := jdbc.Source(d)
		if err != nil {
			require.True(t, errors.Is(err, fault.Syntax) || errors.Is(err, fault.Unsupported))
		}
		require.Equal(t, err != nil, source.Driver == "")
		require.Equal(t, err != nil, source.Name == "")
		switch source.Driver {
		case "pgx":
			require.Contains(t, postgresSource(t, source.Name), "sslmode")
		case "mysql":
			require.Contains(t, mysqlSource(t, source.Name), "tls")
		case "sqlserver":
			require.Contains(t, sqlServerSource(t, source.Name), "encrypt")
		}
		d.Password = password + "2"
		same, other := jdbc.Source(d)
		if strings.Contains(url, "assword") || strings.Contains(url, "@") ||
			strings.ContainsAny(url, "%") {
			return // the URL may agree with one of them
		}
		require.Equal(t, source.Ignored, same.Ignored)
		if err != nil && other != nil {
			require.Equal(t, err.Error(), other.Error())
		}
	})
}

// javaTrim is String.trim.
func javaTrim(s string) string { return strings.TrimFunc(s, func(c rune) bool { return c <= ' ' }) }

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
