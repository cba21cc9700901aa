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
	o := newOptions(d, t, &pgjdbc)
	host, port, database := postgresAddress(d.URL, o)
	user, password := t.login(d, o)
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
	if readOnly, _ := o.boolean("readOnly", []string{"true", ""}, []string{"false"}); readOnly {
		dsn.add("default_transaction_read_only", "on")
	}
	if v, ok := o.take("channelBinding"); ok {
		dsn.add("channel_binding", v)
	}
	if v, ok := o.take("requireAuth"); ok {
		dsn.add("require_auth", v)
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
	// The parameters win over what stands before them, but not the properties
	// beside the URL.
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
	// Whether pgjdbc obeys these depends on its version, and on where they stand.
	hosts, ports = strings.Join(hostList, ","), strings.Join(portList, ",")
	for _, p := range []option{
		{name: "host", value: hosts}, {name: "port", value: ports}, {name: "dbname", value: database},
		{name: "PGHOST", value: hosts}, {name: "PGPORT", value: ports}, {name: "PGDBNAME", value: database},
	} {
		if v, ok := o.take(p.name); ok && v != p.value {
			o.t.mistake(p.name + " says something else than the URL: remove one")
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
