package jdbc

import (
	"net"
	"net/url"
	"strings"
)

// mysql reads a URL as Connector/J 8 does (com.mysql.cj.conf.ConnectionUrlParser).
func mysql(d Database, t *translation) string { return connector(d, t, &connectorJ8) }

// mysql5 reads a URL as Connector/J 5.1 does (com.mysql.jdbc.NonRegisteringDriver). It
// refuses URLs that version 8 reads differently.
func mysql5(d Database, t *translation) string { return connector(d, t, &connectorJ5) }

func connector(d Database, t *translation, c *class) string {
	o := newOptions(d, t, c)
	if strings.Contains(d.URL, "#") {
		// The text after it, possibly of a password, would be lost.
		t.mistake("there is a #, after which Connector/J reads nothing: in a value, write %23")
		t.hasPassword = true
	}
	authority, path, query := mysqlParts(d.URL, t)
	if strings.HasPrefix(trim(path), "/") || strings.HasPrefix(trim(query), "?") {
		t.mistake("there is an extra / or ? before the database or the options")
	}
	if c == &connectorJ5 {
		refuseOnlyInJ8(authority, path, t)
	}
	o.connectorQuery(query)
	database, err := unescape(path)
	if err != nil {
		t.mistake("the name of the database is not percent-encoded correctly: write %25 for %")
	}
	database = trim(database)
	if name, ok := o.take("dbname"); ok {
		if c == &connectorJ5 && name != database {
			t.refuse("dbname: it names another database than the URL does, and Connector/J 5.1 does not support it")
		}
		database = name
	}
	if info, host, ok := strings.Cut(authority, "@"); ok && !strings.Contains(info, "(") {
		authority = host
		t.hasPassword = true
		name, password, _ := strings.Cut(info, ":")
		for _, p := range [][2]string{{"user", name}, {"password", password}} {
			plain, err := connectorValue(p[1])
			if err != nil {
				t.mistake("the text before the @ is not percent-encoded correctly: write %25 for %")
			} else if plain != "" {
				o.add(p[0], plain)
			}
		}
	}
	tls := connectorTLS(o)
	return goMySQL(d, o, connectorHost(authority, o), database, tls)
}

// refuseOnlyInJ8 refuses forms of a URL that version 5.1 reads differently.
func refuseOnlyInJ8(authority, path string, t *translation) {
	switch {
	case strings.Contains(authority, "@"):
		t.refuse("user and password before the host: only version 8 of Connector/J supports this; write them as options")
		t.hasPassword = true
	case strings.HasPrefix(trim(authority), "("):
		t.refuse("the host: only version 8 of Connector/J supports this form; write host:port")
	case trim(path) != path || strings.ContainsAny(path, "%+"):
		t.refuse("the name of the database: version 8 of Connector/J decodes it, version 5.1 does not")
	}
}

// connectorQuery adds the parameters of name=value&name=value.
func (o *options) connectorQuery(s string) {
	for p := range strings.SplitSeq(s, "&") {
		name, raw, _ := strings.Cut(p, "=")
		value, err := connectorValue(raw)
		if err == nil && o.class == &connectorJ8 {
			if !connectorName(name) || trim(name) == "" && value != "" {
				o.t.mistake("the name of an option is empty or contains characters that Connector/J does not accept")
				continue
			}
			name, err = connectorValue(name)
		} else if err == nil && trim(raw) != raw {
			o.t.refuse(o.show(name) +
				": version 8 of Connector/J removes the blanks around its value, version 5.1 does not")
		}
		if err != nil {
			o.t.hasPassword = o.t.hasPassword || secretName(name)
			o.t.mistake(o.show(name) + " is not percent-encoded correctly: write %25 for %")
			continue
		}
		o.add(name, value)
	}
}

// connectorValue trims and decodes a value.
func connectorValue(s string) (string, error) { return unescape(trim(s)) }

// connectorName reports whether Connector/J accepts a name before it is decoded.
func connectorName(s string) bool {
	return strings.Trim(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-% \t\n\v\f\r") == ""
}

// mariadb reads a URL as MariaDB's Connector/J 2 and 3 do (org.mariadb.jdbc.UrlParser,
// org.mariadb.jdbc.Configuration), which decode nothing.
func mariadb(d Database, t *translation) string {
	o := newOptions(d, t, &mariadbJ)
	authority, database, query := mysqlParts(d.URL, t)
	o.query(query, func(s string) (string, error) { return s, nil })
	if _, ok := o.lookup("connectTimeout"); !ok {
		o.add("connectTimeout", "30000") // MariaDB's default
	}
	tls := mariadbTLS(o)
	return goMySQL(d, o, mariadbHost(authority, o), database, tls)
}

// mysqlParts takes a URL apart: jdbc:mysql://authority/database?options.
func mysqlParts(jdbcURL string, t *translation) (authority, database, query string) {
	_, rest, _ := strings.Cut(strings.TrimPrefix(jdbcURL, "jdbc:"), ":")
	server, query, _ := strings.Cut(rest, "?")
	authority, ok := strings.CutPrefix(server, "//")
	if !ok {
		mode, _, _ := strings.Cut(server, "//")
		switch mode = strings.TrimSuffix(mode, ":"); mode {
		case "replication", "loadbalance", "load-balance", "sequential", "aurora", "failover",
			"load-balance-read":
			t.refuse(mode +
				": the Go driver connects to one server and cannot choose the right one of several")
		default:
			t.mistake("there is no // before the host")
		}
		return "", "", query
	}
	authority, database, _ = strings.Cut(authority, "/")
	return authority, database, query
}

// goMySQL returns user:password@net(address)/database?options, go-sql-driver's form. It
// has no escapes for user and password and needs none, since it is parsed from the
// last /, the last @ before it, and the first colon.
func goMySQL(d Database, o *options, authority, database, tls string) string {
	t := o.t
	user, password := t.login(d, o)
	if strings.Contains(user, ":") {
		t.refuse("the user name: the Go driver's data source cannot contain one with a colon")
	}
	network, address := mysqlAddress(authority, o)
	if v, ok := o.lookup("characterEncoding"); ok && o.class != &mariadbJ &&
		!matchesAny(v, utf8Names) && !isASCII(password) {
		t.refuse("characterEncoding: " + javaBytes)
	}
	if d.Schema != "" && d.Schema != database {
		t.ignore("the schema's name (in MySQL a schema is a database: name it before its tables)")
	}

	q := mysqlParams{}
	q.add("tls", tls)
	q.add("parseTime", "true")
	mysqlOptions(o, &q)
	o.finish()
	return user + ":" + password + "@" + network + "(" + address + ")/" + url.PathEscape(database) +
		"?" + q.String()
}

// mysqlAddress returns the network and address that go-sql-driver dials.
func mysqlAddress(authority string, o *options) (network, address string) {
	switch {
	case strings.Contains(authority, ","):
		o.t.refuse("the hosts: the Go driver connects to one server and cannot choose the right one of several; write one")
		return "", ""
	case strings.Contains(authority, "@"):
		o.t.mistake("there is an extra @ before the host: in a user name or a password, write %40")
		return "", ""
	case authority == "":
		authority = "localhost" // the default of both drivers
	}
	host, port := o.t.hostPort(authority, "localhost", "3306")
	if socket, ok := o.lookup("localSocket"); ok && o.class == &mariadbJ {
		o.drop("localSocket")
		if strings.ContainsAny(socket, "@()") || !strings.HasPrefix(socket, "/") {
			o.t.refuse("localSocket: the Go driver's data source cannot contain such a path")
		}
		return "unix", socket
	}
	return "tcp", net.JoinHostPort(host, port)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s,
		func(c rune) bool { return c > 0x7f })
}

// mysqlParams are name=value&name=value.
type mysqlParams struct{ b strings.Builder }

func (m *mysqlParams) add(name, value string) {
	if m.b.Len() > 0 {
		m.b.WriteByte('&')
	}
	m.b.WriteString(name + "=" + url.QueryEscape(value))
}

func (m *mysqlParams) String() string { return m.b.String() }
