package jdbc

import (
	"math"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// postgres reads a URL as pgjdbc 42.7 does (org.postgresql.Driver.parseURL) and
// writes a URL: of the two forms that pgx and lib/pq read it is the one whose
// passwords they recognise, and leave out, when an error of theirs repeats it.
//
// What they would otherwise take from PG* variables, and what says where, as
// whom or how securely, is written even where it is the default: a PGSSLMODE or
// PGTARGETSESSIONATTRS meant for another program must not change anything. What
// is left to the environment names the program (PGAPPNAME), sets its time zone
// (PGTZ) or can only make the driver refuse a connection (PGREQUIREAUTH, a
// PGSERVICE that is nowhere).
func postgres(d Database, t *translation) string {
	o := newOptions(d, t, false)
	host, port, database := postgresAddress(d.URL, o)
	user, password := t.login(d, o, []string{"user"}, []string{"password"})
	if database == "" {
		database = user
	}
	dsn := postgresURL{user: user, password: password, hosts: host, ports: port, database: database}
	if password == "" { // and not that of PGPASSWORD or ~/.pgpass
		dsn.add("password", "")
		dsn.add("passfile", os.DevNull)
	}
	postgresTLS(o, &dsn)
	dsn.add("target_session_attrs", sessionAttrs(o, strings.Contains(host, ",")))
	dsn.add("connect_timeout", connectTimeout(o))
	serverOptions, _ := o.take("options")
	dsn.add("options", serverOptions)
	if path := searchPath(d.Schema, o); path != "" {
		dsn.add("search_path", path)
	}
	if name, ok := o.take("ApplicationName"); ok {
		dsn.add("application_name", name)
	}
	if readOnly, _ := o.boolean("readOnly"); readOnly {
		dsn.add("default_transaction_read_only", "on")
	}
	postgresAuth(o, &dsn)

	o.fulfilled(nil, "tcpKeepAlive", "tcpNoDelay", "assumeMinServerVersion", "readOnlyMode")
	o.fulfilled([]string{"3"}, "protocolVersion")
	o.fulfilled([]string{"0"}, "socketTimeout")
	o.fulfilled([]string{"false"}, "loadBalanceHosts", "logUnclosedConnections", "allowEncodingChanges")
	o.fulfilled([]string{"true"}, "binaryTransfer")
	o.refuse("Go opens the connection itself", "socketFactory", "socketFactoryArg")
	o.refuse("a Java file of services names the server", "service")
	for _, p := range o.list {
		if mattersToPostgres(p.name) {
			t.mistake(o.show(p.name) + " is not written as pgjdbc wants it, which therefore ignores it: mind the letter case")
		}
	}
	o.rest()
	return dsn.String()
}

// postgresAddress returns lists of hosts and ports, and the database.
func postgresAddress(jdbcURL string, o *options) (hosts, ports, database string) {
	const defaultHost, defaultPort = "localhost", "5432"
	server, query, _ := strings.Cut(strings.TrimPrefix(jdbcURL, "jdbc:postgresql:"), "?")
	o.query(query, unescape)

	var hostList, portList []string
	switch authority, ok := strings.CutPrefix(server, "//"); {
	case server == "/" || server == "//" || server == "///":
	case !ok && strings.HasPrefix(server, "/"):
		o.t.mistake("there is one / before the host, pgjdbc wants two")
	case !ok:
		database = postgresDatabase(server, o)
	case strings.Count(authority, "/") > 1:
		o.t.mistake("there is a / too many: in the name of a database it is written %2F")
	case !strings.Contains(authority, "/"):
		o.t.mistake("there is no / behind the host")
	default:
		list, name, _ := strings.Cut(authority, "/")
		database = postgresDatabase(name, o)
		for address := range strings.SplitSeq(list, ",") {
			host, port := o.t.hostPort(address, defaultHost, defaultPort)
			hostList, portList = append(hostList, host), append(portList, port)
		}
	}
	// The parameters win over what stands before them.
	if v, ok := o.take("PGHOST"); ok {
		hostList = nil
		for host := range strings.SplitSeq(v, ",") {
			hostList = append(hostList, o.t.host(host))
		}
	}
	if v, ok := o.take("PGPORT"); ok {
		portList = nil
		for port := range strings.SplitSeq(v, ",") {
			portList = append(portList, o.t.port(port))
		}
	}
	if v, ok := o.take("PGDBNAME"); ok {
		database = v
	}
	if hostList == nil {
		hostList = []string{defaultHost}
	}
	if portList == nil {
		portList = []string{defaultPort}
	}
	if len(hostList) != len(portList) {
		o.t.mistake("there are not as many ports as hosts")
	}
	// Whether pgjdbc obeys these depends on its version.
	hosts, ports = strings.Join(hostList, ","), strings.Join(portList, ",")
	for _, p := range []option{{"host", hosts}, {"port", ports}, {"dbname", database}} {
		if v, ok := o.take(p.name); ok && v != p.value {
			o.t.mistake("the parameter " + p.name + " says something else than the URL before it: remove one")
		}
	}
	return hosts, ports, database
}

func postgresDatabase(escaped string, o *options) string {
	name, err := unescape(escaped)
	if err != nil {
		o.t.mistake("the name of the database is not percent-encoded well: write %25 for %")
	}
	return name
}

// sessionAttrs translates targetServerType.
func sessionAttrs(o *options, several bool) string {
	v, ok := o.take("targetServerType")
	if !ok {
		return "any"
	}
	switch strings.ToLower(v) {
	case "any":
		return "any"
	case "master", "primary":
		// Not read-write, which asks for what the session may do: readOnly=true
		// forbids writing on every server.
		return "primary"
	case "slave", "secondary":
		return "standby"
	case "preferslave", "prefersecondary":
		return "prefer-standby"
	case "preferprimary":
		if !several {
			return "any"
		}
		// A standby where the primary is wanted would be the wrong server; no
		// server while the primary is down is not.
		o.t.ignore("targetServerType=preferPrimary (connects to the primary only)")
		return "primary"
	}
	o.t.mistake("targetServerType has a value that pgjdbc does not know")
	return ""
}

// connectTimeout is the lower of both limits, in whole seconds. Ten is pgjdbc's
// own for each attempt; with none a host that does not answer would keep one
// from the next.
func connectTimeout(o *options) string {
	limit, ok := o.duration(time.Second, "connectTimeout")
	if !ok {
		limit = 10 * time.Second
	}
	if login, _ := o.duration(time.Second, "loginTimeout"); login > 0 && (limit == 0 || login < limit) {
		limit = login
	}
	return strconv.FormatInt(int64(math.Ceil(limit.Seconds())), 10)
}

// postgresAuth deals with the ways to log in.
func postgresAuth(o *options, dsn *postgresURL) {
	if v, ok := o.take("channelBinding"); ok {
		dsn.add("channel_binding", v)
	}
	if v, ok := o.take("requireAuth"); ok {
		dsn.add("require_auth", v)
	}
	o.fulfilled([]string{"allow", "disable"}, "gssEncMode")
	o.fulfilled([]string{"false"}, "useSpnego", "jaasLogin", "gssUseDefaultCreds")
	o.refuse("the Go driver does not encrypt with GSS", "gssEncMode")
	o.refuse("the Go driver does not log in with Kerberos or SSPI by itself",
		"kerberosServerName", "jaasApplicationName", "jaasLogin", "gsslib", "useSpnego", "gssUseDefaultCreds",
		"sspiServiceClass", "gssResponseTimeout")
	o.refuse("a Java class says the password", "authenticationPluginClassName")
}

// mattersToPostgres reports whether a name is one that says where, as whom or
// how securely, but for its letter case. pgjdbc ignores what it does not know,
// while whoever wrote it counts on it.
func mattersToPostgres(name string) bool {
	for _, n := range []string{
		"user", "password", "PGHOST", "PGPORT", "PGDBNAME", "ssl", "sslmode", "sslfactory", "sslfactoryarg", "sslrootcert", "sslcert",
		"sslkey", "sslpassword", "sslhostnameverifier", "sslNegotiation", "targetServerType", "currentSchema", "options", "readOnly",
		"channelBinding", "requireAuth", "gssEncMode", "socketFactory", "service",
	} {
		if strings.EqualFold(n, name) && n != name {
			return true
		}
	}
	return false
}

// postgresURL is a data source of the form postgres://user:password@host:port/database?name=value.
type postgresURL struct {
	user, password string
	hosts, ports   string // lists
	database       string
	options        strings.Builder
}

// add appends an option, also one that is empty: that there is nothing is said
// as well.
func (u *postgresURL) add(name, value string) {
	u.options.WriteByte("?&"[min(u.options.Len(), 1)])
	u.options.WriteString(name + "=" + percent(value))
}

// String writes what all drivers read alike: several hosts, IPv6, and names with
// a slash are options, since Go's net/url, with which some of them read it, has
// no place for them, or one of its own.
func (u *postgresURL) String() string {
	authority, path := net.JoinHostPort(u.hosts, u.ports), "/"+percent(u.database)
	if strings.ContainsAny(u.hosts, ",:%") {
		authority = ""
		u.add("host", u.hosts)
		u.add("port", u.ports)
	}
	if strings.Contains(u.database, "/") {
		path = "/"
		u.add("dbname", u.database)
	}
	login := percent(u.user)
	if u.password != "" {
		login += ":" + percent(u.password)
	}
	return "postgres://" + login + "@" + authority + path + u.options.String()
}

// percent escapes all that can have a meaning in a URL.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
