package jdbc

import (
	"math"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// sqlServer reads a URL as Microsoft's driver 12 does (com.microsoft.sqlserver.jdbc.Util.parseUrl).
func sqlServer(d Database, t *translation) string {
	o := newOptions(d, t, &microsoft)
	server, properties, _ := strings.Cut(d.URL, ";")
	braces(properties, o)
	s := newSQLServerURL(d, o)
	authority, ok := strings.CutPrefix(server, "jdbc:sqlserver://")
	if !ok {
		t.mistake("there is no // before the host")
	}
	host, port, hasPort := cutPort(authority)
	host, instance, _ := strings.Cut(host, `\`)
	s.address(trim(host), trim(instance), trim(port), hasPort, "instanceName")
	s.login(t.login(d, o))
	s.encryption()
	s.serverChoice()
	s.limits(time.Millisecond)
	s.text("app name", "applicationName")
	s.text("workstation id", "workstationID")
	s.packetSize()
	o.finish()
	return s.String()
}

// jtds reads a URL as jTDS 1.3 does: jdbc:jtds:sqlserver://host:port/database;name=value.
func jtds(d Database, t *translation) string {
	o := newOptions(d, t, &jTDS)
	server, properties, _ := strings.Cut(d.URL, ";")
	for p := range strings.SplitSeq(properties, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.ContainsAny(p, "/:") {
			t.hasPassword = t.hasPassword || secretName(name)
			t.mistake(o.show(name) + " contains a / or a :, after which jTDS reads nothing")
		}
		o.add(name, value)
	}
	s := newSQLServerURL(d, o)
	authority, ok := strings.CutPrefix(server, "jdbc:jtds:sqlserver://")
	if !ok {
		t.mistake("it does not begin with jdbc:jtds:sqlserver://")
	}
	authority, database, slash := strings.Cut(authority, "/")
	if strings.ContainsAny(database, "/:") {
		t.mistake("the name of the database contains a / or a :, after which jTDS reads nothing")
	}
	if database != "" {
		o.add("databaseName", database)
	} else if _, ok := o.lookup("databaseName"); ok && slash && !o.inURL("databaseName") {
		t.mistake("the name of the database is empty in the URL, and jTDS uses that: remove the / or write the name there")
	}
	host, port, hasPort := strings.Cut(authority, ":") // jTDS has no brackets
	if host == "" && o.inURL("serverName") {
		t.mistake("there is no host before the options, where jTDS expects it")
	}
	s.address(host, "", port, hasPort, "instance")
	if s.instance != "" {
		s.port = "" // jTDS gets the port from the SQL Server Browser and ignores that of the URL
	}
	s.login(t.login(d, o))
	// Unlike Microsoft's driver, jTDS does not encrypt by default.
	ssl, _ := o.take("ssl")
	switch strings.ToLower(ssl) {
	case "", "off":
		s.encrypt("false", true)
	case "request":
		s.encrypt("true", true)
		t.ignore("ssl=request (the Go driver needs a server that encrypts)")
	case "require":
		s.encrypt("true", true)
	case "authenticate":
		s.encrypt("true", false)
	default:
		t.mistake("ssl has a value that jTDS does not accept")
	}
	s.limits(time.Second)
	s.text("app name", "appName")
	s.text("workstation id", "wsid")
	s.packetSize()
	o.finish()
	return s.String()
}

// braces adds the options of name=value;name={value;}. In braces }} means }.
func braces(s string, o *options) {
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if before, after, semicolon := strings.Cut(s, ";"); semicolon &&
			(!ok || len(before) < len(name)) {
			if trim(before) != "" {
				o.t.mistake("a property has no value")
			}
			s = after
			continue
		}
		if name = trim(name); !ok || name == "" {
			if trim(s) != "" {
				o.t.mistake("a property has no name or no value")
			}
			return
		}
		quoted, open := strings.CutPrefix(strings.TrimLeftFunc(rest, isBlank), "{")
		var value string
		if open {
			if value, s, ok = cutBraced(quoted); !ok {
				o.t.hasPassword = true
				o.t.mistake("a brace is not closed, or there is text after it: in braces, write }} for }")
				return
			}
		} else {
			value, s, _ = strings.Cut(rest, ";")
			if value = trim(value); strings.Contains(value, "{") {
				o.t.mistake(o.show(name) + " contains a brace: write a value with braces in braces")
			}
		}
		o.add(name, value)
	}
}

// cutBraced splits after the closing brace of a value and the semicolon after it.
func cutBraced(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for {
		part, after, found := strings.Cut(s, "}")
		b.WriteString(part)
		if !found {
			return "", "", false
		}
		if s, found = strings.CutPrefix(after, "}"); found {
			b.WriteByte('}')
			continue
		}
		beforeSemicolon, rest, _ := strings.Cut(after, ";")
		return b.String(), rest, strings.Trim(beforeSemicolon, " ") == ""
	}
}

// sqlServerURL is the form sqlserver://user:password@host:port/instance?name=value.
type sqlServerURL struct {
	o                        *options
	host, port, instance     string
	user, password, database string
	query                    url.Values
}

func newSQLServerURL(d Database, o *options) *sqlServerURL {
	if d.Schema != "" && !strings.EqualFold(d.Schema, "dbo") {
		o.t.ignore("the schema's name (in SQL Server a user has a schema, a connection has none: name it before its tables)")
	}
	return &sqlServerURL{o: o, query: url.Values{}}
}

// address sets host, instance and port from the URL and from properties.
func (s *sqlServerURL) address(host, instance, port string, hasPort bool, instanceName string) {
	if host == "" {
		if host = s.property("host", "", "serverName"); strings.Count(host, ":") > 1 &&
			!strings.HasPrefix(host, "[") {
			host = "[" + host + "]" // a property needs no brackets
		}
	} else {
		host = s.property("host", host, "serverName")
	}
	if s.host = s.o.t.host(host); s.host == "." {
		s.host = "localhost"
	}
	s.instance = s.property("instance", instance, instanceName)
	if strings.Trim(s.instance,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$#-") != "" {
		s.o.t.mistake("the instance's name contains characters that are not allowed in it")
	}
	if hasPort {
		port = s.o.t.port(port)
	}
	if port = s.property("port", port, "portNumber"); port != "" {
		port = s.o.t.port(port)
	} else if s.instance == "" {
		port = "1433"
	}
	s.port = port
	s.database, _ = s.o.take("databaseName")
}

// boolean takes a property of Microsoft's driver, which accepts only true and false.
func (s *sqlServerURL) boolean(name string) (value, ok bool) {
	return s.o.boolean(name, []string{"true"}, []string{"false"})
}

func cutPort(s string) (rest, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.LastIndexByte(s, ']') > i {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func (s *sqlServerURL) property(what, before, name string) string {
	v, ok := s.o.take(name)
	switch {
	case !ok:
		return before
	case v == "" && before != "":
		s.o.t.mistake("the property " + name + " is empty, and the URL before it is not: remove one")
	case before != "" && !strings.EqualFold(before, v):
		s.o.t.mistake("the property " + name + " names another " + what +
			" than the URL before it: remove one")
	}
	return v
}

func (s *sqlServerURL) login(user, password string) {
	if strings.Contains(user, `\`) {
		s.o.t.refuse("a user name with \\: the Go driver reads it as a Windows domain")
	}
	s.user, s.password = user, password
}

func (s *sqlServerURL) encrypt(how string, trust bool) {
	s.query.Set("encrypt", how)
	s.query.Set("TrustServerCertificate", strconv.FormatBool(trust))
}

// encryption translates the properties of Microsoft's driver. Since version 10.2 the
// default of encrypt is true.
func (s *sqlServerURL) encryption() {
	how, ok := s.o.take("encrypt")
	trust, hasTrust := s.boolean("trustServerCertificate")
	switch how = strings.ToLower(how); how {
	case "true", "mandatory", "yes":
		how = "true"
	case "false", "optional", "no":
		// Only the login is encrypted, and Java verifies nothing in that case.
		how = "false"
		trust = trust || !hasTrust
	case "strict":
		trust = false
	case "":
		if how = "true"; !ok {
			break
		}
		fallthrough
	default:
		s.o.t.mistake("encrypt has a value that Microsoft's driver does not accept")
	}
	s.encrypt(how, trust)
	if trust {
		s.o.drop("trustStore", "trustStorePassword", "trustStoreType", "hostNameInCertificate",
			"serverCertificate")
	}
	s.text("hostNameInCertificate", "hostNameInCertificate")
	if file, ok := s.o.take("serverCertificate"); ok && file != "" {
		if ext := strings.ToLower(path.Ext(file)); ext != ".pem" && ext != ".der" {
			s.o.t.refuse("serverCertificate: the Go driver only reads files whose names end in .pem or .der")
		}
		if s.query.Has("hostNameInCertificate") {
			s.o.t.refuse("serverCertificate: the Go driver does not accept hostNameInCertificate with it")
		}
		s.query.Set("servercertificate", file)
	}
	if v, ok := s.o.lookup("sslProtocol"); ok {
		switch strings.ToLower(v) {
		case "tlsv1.3":
			s.query.Set("tlsmin", "1.3")
			s.o.drop("sslProtocol")
		case "tls", "tlsv1.2", "":
			s.query.Set("tlsmin", "1.2")
			s.o.drop("sslProtocol")
		}
	}
}

// serverChoice translates the properties that choose between several servers.
func (s *sqlServerURL) serverChoice() {
	if intent, ok := s.o.take("applicationIntent"); ok {
		switch strings.ToLower(intent) {
		case "readonly":
			s.query.Set("ApplicationIntent", "ReadOnly")
			if s.database == "" {
				s.o.t.refuse("applicationIntent: the Go driver requires a databaseName with ReadOnly")
			}
		case "readwrite", "":
		default:
			s.o.t.mistake("applicationIntent is neither ReadOnly nor ReadWrite")
		}
	}
	multi, _ := s.boolean("multiSubnetFailover")
	s.query.Set("multiSubnetFailover", strconv.FormatBool(multi)) // true by default in Go
	if partner, ok := s.o.take("failoverPartner"); ok && partner != "" {
		if strings.ContainsFunc(partner, notInHost) || strings.Contains(partner, ":") ||
			isOddAddress(partner) {
			s.o.t.refuse("failoverPartner: the Go driver only accepts a host name")
		}
		s.query.Set("failoverpartner", partner)
	}
}

// limits translates timeouts. The Go driver's "connection timeout" applies to each
// read, not to the login.
func (s *sqlServerURL) limits(socketUnit time.Duration) {
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10) }
	if d, _ := s.o.duration(time.Second, "loginTimeout"); d > 0 {
		s.query.Set("dial timeout", seconds(d))
	}
	if d, _ := s.o.duration(socketUnit, "socketTimeout"); d > 0 {
		s.query.Set("connection timeout", seconds(d))
	}
}

// text copies an option unchanged.
func (s *sqlServerURL) text(goName, javaName string) {
	if v, ok := s.o.take(javaName); ok && v != "" {
		s.query.Set(goName, v)
	}
}

func (s *sqlServerURL) packetSize() {
	if v, ok := s.o.take("packetSize"); ok {
		if n, err := strconv.ParseUint(v, 10, 15); err == nil {
			s.query.Set("packet size", strconv.FormatUint(n, 10))
		} else if v != "-1" {
			s.o.t.mistake("packetSize is not a valid number")
		}
	}
}

func (s *sqlServerURL) String() string {
	if s.database != "" {
		s.query.Set("database", s.database)
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(s.user, s.password), Host: s.host,
		RawQuery: s.query.Encode()}
	if s.port != "" {
		u.Host = net.JoinHostPort(s.host, s.port)
	} else if strings.Contains(s.host, ":") {
		u.Host = "[" + s.host + "]"
	}
	if s.instance != "" {
		u.Path = "/" + s.instance
	}
	return u.String()
}
