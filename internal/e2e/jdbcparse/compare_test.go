package jdbcparse_test

import (
	"fmt"
	"iter"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

var classes = map[string]string{
	"postgresql": "org.postgresql.Driver",
	"mariadb":    "org.mariadb.jdbc.Driver",
	"jtds":       "net.sourceforge.jtds.jdbc.Driver",
}

// TestJDBCDriversAgree generates URLs and compares the data source with the result of
// the driver's parser: where, as whom, with which password and how securely it
// connects. A URL may have no data source; otherwise both agree, or the data source is
// the safer one.
func TestJDBCDriversAgree(t *testing.T) {
	j := startJava(t)
	const seeds, each = 4, 2000
	for driver := range sorted(classes) {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprintf("%s/seed %d", driver, seed), func(t *testing.T) {
				g := newGenerator(seed)
				all := make([]jdbc.Database, each)
				for i := range all {
					all[i] = g.database(driver)
				}
				translated := 0
				for i, theirs := range j.parse(t, driver, all) {
					ours := translate(t, driver, all[i])
					if ours == nil {
						continue
					}
					translated++
					require.Empty(t, differences(driver, theirs, ours), "%q as %q with %q and %q: %v, and here %v",
						all[i].URL, all[i].Username, all[i].Password, all[i].Properties, theirs, ours)
				}
				t.Logf("%d of %d URLs have a data source", translated, each)
				require.Greater(t, translated, each/10, "the comparison compares almost nothing")
			})
		}
	}
}

// TestDifferences compares each URL with itself and with others that differ in one
// part.
func TestDifferences(t *testing.T) {
	j := startJava(t)
	for driver, urls := range map[string][]string{
		"postgresql": {"jdbc:postgresql://db:1/x?user=u&password=p&sslmode=require",
			"jdbc:postgresql://db2:1/x?user=u&password=p&sslmode=require",
			"jdbc:postgresql://db:2/x?user=u&password=p&sslmode=require",
			"jdbc:postgresql://db:1/y?user=u&password=p&sslmode=require",
			"jdbc:postgresql://db:1/x?user=v&password=p&sslmode=require",
			"jdbc:postgresql://db:1/x?user=u&password=q&sslmode=require",
			"jdbc:postgresql://db:1/x?user=u&password=p&sslmode=prefer"},
		"mariadb": {"jdbc:mariadb://db:1/x?user=u&password=p&useSsl=true",
			"jdbc:mariadb://db2:1/x?user=u&password=p&useSsl=true",
			"jdbc:mariadb://db:2/x?user=u&password=p&useSsl=true",
			"jdbc:mariadb://db:1/y?user=u&password=p&useSsl=true",
			"jdbc:mariadb://db:1/x?user=v&password=p&useSsl=true",
			"jdbc:mariadb://db:1/x?user=u&password=q&useSsl=true",
			"jdbc:mariadb://db:1/x?user=u&password=p&useSsl=true&trustServerCertificate=true",
			"jdbc:mariadb://db:1/x?user=u&password=p&useSsl=true&localSocket=/s"},
		"jtds": {"jdbc:jtds:sqlserver://db:1/x;user=u;password=p;ssl=require",
			"jdbc:jtds:sqlserver://db2:1/x;user=u;password=p;ssl=require",
			"jdbc:jtds:sqlserver://db:2/x;user=u;password=p;ssl=require",
			"jdbc:jtds:sqlserver://db:1/y;user=u;password=p;ssl=require",
			"jdbc:jtds:sqlserver://db:1/x;user=v;password=p;ssl=require",
			"jdbc:jtds:sqlserver://db:1/x;user=u;password=q;ssl=require",
			"jdbc:jtds:sqlserver://db:1/x;user=u;password=p;ssl=off",
			"jdbc:jtds:sqlserver://db:1/x;user=u;password=p;ssl=require;instance=i"},
	} {
		all := make([]jdbc.Database, len(urls))
		for i, url := range urls {
			all[i].URL = url
		}
		theirs := j.parse(t, driver, all)
		for i, d := range all {
			ours := translate(t, driver, d)
			require.NotNil(t, ours, d.URL)
			require.Empty(t, differences(driver, theirs[i], ours), d.URL)
			if i > 0 {
				require.NotEmpty(t, differences(driver, theirs[0], ours), d.URL)
			}
		}
		require.NotEmpty(t, differences(driver, nil, translate(t, driver, all[0])))
	}
}

// differences returns the parts in which a data source differs from the driver.
func differences(driver string, theirs, ours parsed) (names []string) {
	if theirs == nil {
		return []string{"the driver refuses the URL"}
	}
	theirs = normalize(driver, theirs)
	for _, name := range []string{"host", "port", "database", "user", "password", "socket",
		"instance"} {
		if theirs[name] != ours[name] &&
			!(name == "host" && strings.EqualFold(theirs[name], ours[name])) {
			names = append(names, name)
		}
	}
	if slices.Index(levels, ours["tls"]) < slices.Index(levels, theirs["tls"]) {
		names = append(names, "tls")
	}
	return names
}

// levels are the TLS modes, in ascending order of security.
var levels = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// normalize converts the result of a driver's parser to the form of translate.
func normalize(driver string, p parsed) parsed {
	p = maps.Clone(p)
	switch driver {
	case "postgresql":
		p["host"] = strings.NewReplacer("[", "", "]", "").Replace(p["host"])
		if p["database"] == "" {
			p["database"] = p["user"] // the server's default
		}
		switch factory := p["factory"]; {
		case strings.HasSuffix(factory, ".NonValidatingFactory") &&
			strings.HasPrefix(p["tls"], "verify-"):
			p["tls"] = "require"
		case strings.HasSuffix(factory, ".DefaultJavaSSLFactory") && p["tls"] == "require":
			p["tls"] = "verify-ca"
		}
	case "mariadb":
		if p["socket"] != "" {
			p["host"], p["port"] = "", ""
			break
		}
		if p["host"] == "" {
			p["host"] = "localhost"
		}
		if p["port"] == "" || p["port"] == "0" { // this version omits the default after brackets
			p["port"] = "3306"
		}
	case "jtds":
		if p["port"] == "" {
			p["port"] = "1433"
		}
		if p["instance"] != "" {
			p["port"] = "" // the server's browser says it
		}
		p["tls"] = map[string]string{"": "disable", "off": "disable", "request": "prefer",
			"require": "require", "authenticate": "verify-ca"}[p["tls"]]
	}
	return p
}

// translate returns the parts of the data source, as the Go driver reads them.
func translate(t *testing.T, driver string, d jdbc.Database) parsed {
	t.Helper()
	d.Driver = classes[driver]
	source, err := jdbc.Source(d)
	if err != nil {
		return nil
	}
	switch driver {
	case "postgresql":
		return postgresParts(t, source.Name)
	case "mariadb":
		return mysqlParts(t, source.Name)
	}
	return sqlServerParts(t, source.Name)
}

// postgresParts parses a URL without pgx, which would open the files that the URL
// names.
func postgresParts(t *testing.T, source string) parsed {
	t.Helper()
	u, err := url.Parse(source)
	require.NoError(t, err)
	password, _ := u.User.Password()
	q := u.Query()
	p := parsed{"host": u.Hostname(), "port": u.Port(), "database": strings.TrimPrefix(u.Path, "/"),
		"user": u.User.Username(), "password": password,
		"tls": q.Get("sslmode")}
	if u.Host == "" {
		p["host"], p["port"] = q.Get("host"), q.Get("port")
	}
	if q.Has("dbname") {
		p["database"] = q.Get("dbname")
	}
	return p
}

func mysqlParts(t *testing.T, source string) parsed {
	t.Helper()
	c, err := mysql.ParseDSN(source)
	require.NoError(t, err)
	p := parsed{"database": c.DBName, "user": c.User, "password": c.Passwd,
		"tls": map[string]string{"false": "disable", "preferred": "prefer", "skip-verify": "require",
			"true": "verify-full"}[c.TLSConfig]}
	if c.Net == "unix" {
		p["socket"] = c.Addr
		return p
	}
	p["host"], p["port"], err = net.SplitHostPort(c.Addr)
	require.NoError(t, err)
	return p
}

func sqlServerParts(t *testing.T, source string) parsed {
	t.Helper()
	c, err := msdsn.Parse(source)
	require.NoError(t, err)
	p := parsed{"host": c.Host, "instance": c.Instance, "database": c.Database, "user": c.User,
		"password": c.Password, "tls": "disable"}
	if c.Port != 0 {
		p["port"] = fmt.Sprint(c.Port)
	}
	switch {
	case c.Encryption == msdsn.EncryptionRequired && c.TLSConfig.InsecureSkipVerify:
		p["tls"] = "require"
	case c.Encryption == msdsn.EncryptionRequired:
		p["tls"] = "verify-full"
	}
	return p
}

// sorted returns the keys of a map in ascending order.
func sorted[V any](m map[string]V) iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
