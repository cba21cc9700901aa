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

// postgres reads a URL as pgjdbc 42.7 does (org.postgresql.Driver.parseURL) and writes
// a URL. Of the two forms that pgx and lib/pq read, it is the one in which they
// recognize a password and leave it out of their errors.
//
// All settings that affect where, as whom or how securely to connect are written, even
// defaults, so that PG* variables meant for another program, such as PGSSLMODE, have
// no effect. Only variables that name the program (PGAPPNAME), set its time zone
// (PGTZ) or can at most make the driver refuse a connection (PGREQUIREAUTH, a missing
// PGSERVICE) remain in effect.
func postgres(d Database, t *translation) string {
	o := newOptions(d, t, &pgjdbc)
	host, port, database := postgresAddress(d.URL, o)
	user, password := t.login(d, o)
	if database == "" {
		database = user
	}
	dsn := postgresURL{user: user, password: password, hosts: host, ports: port, database: database}
	if password == "" { // otherwise drivers use PGPASSWORD or ~/.pgpass
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
	if readOnly, _ := o.boolean("readOnly", []string{"true", ""}, []string{"false"}); readOnly {
		dsn.add("default_transaction_read_only", "on")
	}
	if v, ok := o.take("channelBinding"); ok {
		dsn.add("channel_binding", v)
	}
	if v, ok := o.take("requireAuth"); ok {
		dsn.add("require_auth", v)
	}
	o.finish()
	return dsn.String()
}

// postgresAddress returns the lists of hosts and ports, and the database.
func postgresAddress(jdbcURL string, o *options) (hosts, ports, database string) {
	const defaultHost, defaultPort = "localhost", "5432"
	server, query, _ := strings.Cut(strings.TrimPrefix(jdbcURL, "jdbc:postgresql:"), "?")
	o.query(query, unescape)

	var hostList, portList []string
	switch authority, ok := strings.CutPrefix(server, "//"); {
	case server == "/" || server == "//" || server == "///":
	case !ok && strings.HasPrefix(server, "/"):
		o.t.mistake("there is one / before the host, but pgjdbc requires two")
	case !ok:
		database = postgresDatabase(server, o)
	case strings.Count(authority, "/") > 1:
		o.t.mistake("there is an extra /: in the name of a database, write %2F")
	case !strings.Contains(authority, "/"):
		o.t.mistake("there is no / after the host")
	default:
		list, name, _ := strings.Cut(authority, "/")
		database = postgresDatabase(name, o)
		for address := range strings.SplitSeq(list, ",") {
			host, port := o.t.hostPort(address, defaultHost, defaultPort)
			hostList, portList = append(hostList, host), append(portList, port)
		}
	}
	// The parameters override the address, but the properties do not.
	if v, ok := o.takeFromURL("PGHOST"); ok {
		hostList = nil
		for host := range strings.SplitSeq(v, ",") {
			hostList = append(hostList, o.t.host(host))
		}
	}
	if v, ok := o.takeFromURL("PGPORT"); ok {
		portList = nil
		for port := range strings.SplitSeq(v, ",") {
			portList = append(portList, o.t.port(port))
		}
	}
	if v, ok := o.takeFromURL("PGDBNAME"); ok {
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
	// Whether pgjdbc uses these depends on its version and on their place.
	hosts, ports = strings.Join(hostList, ","), strings.Join(portList, ",")
	for _, p := range []option{
		{name: "host", value: hosts}, {name: "port", value: ports}, {name: "dbname", value: database},
		{name: "PGHOST", value: hosts}, {name: "PGPORT", value: ports},
		{name: "PGDBNAME", value: database},
	} {
		if v, ok := o.take(p.name); ok && v != p.value {
			o.t.mistake(p.name + " contradicts the URL: remove one")
		}
	}
	return hosts, ports, database
}

func postgresDatabase(escaped string, o *options) string {
	name, err := unescape(escaped)
	if err != nil {
		o.t.mistake("the name of the database is not percent-encoded correctly: write %25 for %")
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
		// Not read-write, which depends on the session: readOnly=true forbids
		// writing on every server.
		return "primary"
	case "slave", "secondary":
		return "standby"
	case "preferslave", "prefersecondary":
		return "prefer-standby"
	case "preferprimary":
		if !several {
			return "any"
		}
		// A standby instead of the primary is the wrong server; no server while
		// the primary is down is not.
		o.t.ignore("targetServerType=preferPrimary (connects to the primary only)")
		return "primary"
	}
	o.t.mistake("targetServerType has a value that pgjdbc does not accept")
	return ""
}

// connectTimeout returns the lower of both limits, in whole seconds. pgjdbc's default
// is ten per attempt; without a limit, a host that does not answer would keep the
// driver from trying the next.
func connectTimeout(o *options) string {
	limit, ok := o.duration(time.Second, "connectTimeout")
	if !ok {
		limit = 10 * time.Second
	}
	if login, _ := o.duration(time.Second, "loginTimeout"); login > 0 &&
		(limit == 0 || login < limit) {
		limit = login
	}
	return strconv.FormatInt(int64(math.Ceil(limit.Seconds())), 10)
}

// postgresURL is a data source of the form postgres://user:password@host:port/database?name=value.
type postgresURL struct {
	user, password string
	hosts, ports   string // lists
	database       string
	options        strings.Builder
}

// add appends an option, even an empty one, which overrides the environment.
func (p *postgresURL) add(name, value string) {
	p.options.WriteByte("?&"[min(p.options.Len(), 1)])
	p.options.WriteString(name + "=" + percent(value))
}

// String returns a URL that all drivers read in the same way. Several hosts, IPv6, and
// names with a slash are options, since net/url, which some drivers use, does not
// support them or reads them differently.
func (p *postgresURL) String() string {
	authority, path := net.JoinHostPort(p.hosts, p.ports), "/"+percent(p.database)
	if strings.ContainsAny(p.hosts, ",:%") {
		authority = ""
		p.add("host", p.hosts)
		p.add("port", p.ports)
	}
	if strings.Contains(p.database, "/") {
		path = "/"
		p.add("dbname", p.database)
	}
	login := percent(p.user)
	if p.password != "" {
		login += ":" + percent(p.password)
	}
	return "postgres://" + login + "@" + authority + path + p.options.String()
}

// percent escapes all characters with a meaning in URLs.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
