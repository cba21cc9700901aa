package jdbc

import (
	"net"
	"net/url"
	"strings"
)

// mysql reads a URL as Connector/J 8 does (com.mysql.cj.conf.ConnectionUrlParser).
func mysql(d Database, t *translation) string {
	o := newOptions(d, t, true)
	if strings.Contains(d.URL, "#") {
		// What follows would be lost, be it the end of a password.
		t.mistake("there is a #, behind which Connector/J reads nothing: in a value it is written %23")
		t.quoted = true
	}
	decode := func(s string) (string, error) { return unescape(strings.TrimSpace(s)) }
	authority, database := mysqlParts(d.URL, o, decode)
	if name, err := unescape(database); err != nil {
		t.mistake("the name of the database is not percent-encoded well: write %25 for %")
	} else {
		database = strings.TrimSpace(name)
	}
	if info, host, ok := strings.Cut(authority, "@"); ok && !strings.Contains(info, "(") {
		authority = host
		t.quoted = true
		name, password, _ := strings.Cut(info, ":")
		for _, p := range []option{{"user", name}, {"password", password}} {
			plain, err := decode(p.value)
			if err != nil {
				t.mistake("what stands before the @ is not percent-encoded well: write %25 for %")
			} else if plain != "" {
				o.add(p.name, plain)
			}
		}
	}
	o.refuse("the Go driver logs in with one password", "password1", "password2", "password3")
	tls := connectorTLS(o)
	return goMySQL(d, o, hostParameters(authority, o, decode), database, tls)
}

// mariadb reads a URL as MariaDB's Connector/J 3 does (org.mariadb.jdbc.Configuration):
// it decodes nothing.
func mariadb(d Database, t *translation) string {
	o := newOptions(d, t, true)
	decode := func(s string) (string, error) { return s, nil }
	authority, database := mysqlParts(d.URL, o, decode)
	o.fulfilled(nil, "permitMysqlScheme")
	o.refuse("the Go driver logs in with user name and password", "credentialType", "restrictedAuth")
	if _, ok := o.lookup("connectTimeout"); !ok {
		o.add("connectTimeout", "30000") // MariaDB's own
	}
	tls := mariadbTLS(o)
	return goMySQL(d, o, hostParameters(authority, o, decode), database, tls)
}

// mysqlParts takes a URL apart: jdbc:mysql://authority/database?options.
func mysqlParts(jdbcURL string, o *options, decode func(string) (string, error)) (authority, database string) {
	_, rest, _ := strings.Cut(strings.TrimPrefix(jdbcURL, "jdbc:"), ":")
	server, query, _ := strings.Cut(rest, "?")
	o.query(query, decode)
	authority, ok := strings.CutPrefix(server, "//")
	if !ok {
		mode, _, _ := strings.Cut(server, "//")
		switch mode = strings.TrimSuffix(mode, ":"); mode {
		case "replication", "loadbalance", "load-balance", "sequential", "aurora", "failover", "load-balance-read":
			o.t.refuse(mode + ": the Go driver speaks to one server, and which of several is the right one it cannot say")
		default:
			o.t.mistake("there is no // before the host")
		}
		return "", ""
	}
	authority, database, _ = strings.Cut(authority, "/")
	return authority, database
}

// goMySQL writes user:password@net(address)/database?options, go-sql-driver's
// form. It has no escape for user and password but needs none: it looks for the
// last / and the last @ before it, and the first colon.
func goMySQL(d Database, o *options, authority, database, tls string) string {
	t := o.t
	user, password := t.login(d, o, []string{"user"}, []string{"password"})
	if strings.Contains(user, ":") {
		t.refuse("the user name: the Go driver's data source cannot hold one with a colon")
	}
	network, address := mysqlAddress(authority, o)
	o.refuse("it names another server than the URL does",
		"host", "port", "protocol", "path", "dbname", "address", "dnsSrv", "pipe", "namedPipePath")
	o.refuse("Go opens the connection itself",
		"socketFactory", "socksProxyHost", "socksProxyPort", "socksProxyRemoteDns", "junixsocket.file")
	o.refuse("the Go driver chooses among its own ways to log in", "authenticationPluginClassName", "authenticationPlugins",
		"defaultAuthenticationPlugin", "disabledAuthenticationPlugins", "authenticationOpenidConnectCallbackHandler",
		"authenticationWebAuthnCallbackHandler", "authenticationFidoCallbackHandler", "ldapServerHostname", "servicePrincipalName",
		"ociConfigFile", "ociConfigProfile", "idTokenFile")
	o.refuse("the Go driver takes the server's key from the server", "serverRSAPublicKeyFile")
	if d.Schema != "" && d.Schema != database {
		t.ignore("the schema's name (in MySQL a schema is a database: name it before its tables)")
	}

	q := mysqlParams{}
	q.add("tls", tls)
	q.add("parseTime", "true")
	mysqlOptions(o, &q)
	o.rest()
	return user + ":" + password + "@" + network + "(" + address + ")/" + url.PathEscape(database) + "?" + q.String()
}

// mysqlAddress returns what go-sql-driver dials.
func mysqlAddress(authority string, o *options) (network, address string) {
	if socket, ok := o.take("localSocket"); ok {
		if strings.ContainsAny(socket, "@()") || !strings.HasPrefix(socket, "/") {
			o.t.refuse("localSocket: the Go driver's data source cannot hold such a path")
		}
		return "unix", socket
	}
	switch {
	case strings.Contains(authority, ","):
		o.t.refuse("the hosts: the Go driver speaks to one server, and which of several is the right one it cannot say; write one")
		return "", ""
	case strings.Contains(authority, "@"):
		o.t.mistake("there is a @ too many before the host: in a user name or a password it is written %40")
		return "", ""
	case authority == "":
		authority = "localhost" // both drivers' own
	}
	host, port := o.t.hostPort(authority, "localhost", "3306")
	return "tcp", net.JoinHostPort(host, port)
}

// mysqlParams are name=value&name=value.
type mysqlParams struct{ b strings.Builder }

func (q *mysqlParams) add(name, value string) {
	if q.b.Len() > 0 {
		q.b.WriteByte('&')
	}
	q.b.WriteString(name + "=" + url.QueryEscape(value))
}

func (q *mysqlParams) String() string { return q.b.String() }
