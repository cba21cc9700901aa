package jdbc

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// mysqlOptions translates the options with an equivalent in go-sql-driver.
func mysqlOptions(o *options, q *mysqlParams) {
	mysqlTime(o, q)
	if d, _ := o.duration(time.Millisecond, "connectTimeout"); d > 0 {
		q.add("timeout", d.String())
	}
	if d, _ := o.duration(time.Millisecond, "socketTimeout"); d > 0 {
		q.add("readTimeout", d.String())
		q.add("writeTimeout", d.String())
	}
	if on, _ := o.mysqlBoolean("useCompression"); on {
		q.add("compress", "true")
	}
	if on, _ := o.mysqlBoolean("allowMultiQueries"); on {
		q.add("multiStatements", "true")
	}
	if affected, ok := o.mysqlBoolean("useAffectedRows"); ok && !affected {
		q.add("clientFoundRows", "true")
	}
	if v, ok := o.lookup("maxAllowedPacket"); ok {
		if n, err := strconv.Atoi(v); err == nil && 0 < n && n <= 1<<30 {
			o.drop("maxAllowedPacket")
			q.add("maxAllowedPacket", strconv.Itoa(n))
		}
	}
	if v, ok := o.take("connectionAttributes"); ok && v != "" && v != "none" {
		q.add("connectionAttributes", v)
	}
	if v, ok := o.lookup("connectionCollation"); ok && collation(v) {
		o.drop("connectionCollation")
		q.add("charset", "utf8mb4")
		q.add("collation", v)
	}
	if v, ok := o.take("sessionVariables"); ok {
		sessionVariables(v, o, q)
	}
}

// mysqlBoolean takes an option of both JDBC drivers, with their values.
func (o *options) mysqlBoolean(name string) (value, ok bool) {
	if o.class == &mariadbJ {
		return o.boolean(name, mariadbYes, mariadbNo)
	}
	return o.connectorBoolean(name)
}

// mysqlTime selects the time zone of DATETIME values, which have none. Both JDBC
// drivers use the zone of the Java program unless the URL names another, and return
// times, not text.
func mysqlTime(o *options, q *mysqlParams) {
	zone, ok := o.take("connectionTimeZone")
	location := "Local"
	switch {
	case !ok || strings.EqualFold(zone, "LOCAL") || zone == "":
	case strings.EqualFold(zone, "UTC") || strings.EqualFold(zone, "GMT") || zone == "Z":
		location = "UTC"
	default:
		if loc, err := time.LoadLocation(zone); err == nil {
			location = loc.String()
		} else {
			o.t.ignore("connectionTimeZone (Go does not have this zone; DATETIME is read as local time)")
		}
	}
	q.add("loc", location)
	if force, _ := o.mysqlBoolean("forceConnectionTimeZoneToSession"); force {
		if !ok || location == "Local" {
			o.t.ignore("forceConnectionTimeZoneToSession")
			return
		}
		if location == "UTC" {
			location = "+00:00" // works without time zone tables on the server
		}
		q.add("time_zone", "'"+location+"'")
	}
}

func collation(name string) bool {
	return strings.HasPrefix(name, "utf8mb4_") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// sessionVariables adds each of name=value,name=value as a parameter; go-sql-driver
// sets unknown parameters as system variables.
func sessionVariables(list string, o *options, q *mysqlParams) {
	for _, s := range splitVariables(list) {
		name, value, ok := strings.Cut(s, "=")
		if name = strings.TrimSpace(name); strings.TrimSpace(s) == "" {
			continue
		}
		for _, scope := range []string{"@@session.", "@@", "session "} {
			if len(name) > len(scope) && strings.EqualFold(name[:len(scope)], scope) {
				name = strings.TrimSpace(name[len(scope):])
				break
			}
		}
		plain := strings.Trim(name,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
		if !ok || name == "" || !plain || slices.Contains(goMySQLParams, name) {
			o.t.ignore("sessionVariables (one of them is not a variable of the session)")
			continue
		}
		q.add(name, strings.TrimSpace(value))
	}
}

// goMySQLParams are parameters of go-sql-driver itself; it panics at one of them.
var goMySQLParams = []string{
	"allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords",
	"allowOldPasswords",
	"checkConnLiveness", "clientFoundRows", "charset", "collation", "columnsWithAlias", "compress",
	"interpolateParams", "loc",
	"multiStatements", "parseTime", "timeTruncate", "readTimeout", "rejectReadOnly", "serverPubKey",
	"strict", "timeout", "tls",
	"writeTimeout", "maxAllowedPacket", "connectionAttributes",
}

// splitVariables splits at commas and semicolons outside quotes and parentheses.
func splitVariables(list string) (parts []string) {
	depth, quote, start := 0, byte(0), 0
	for i := range len(list) {
		switch c := list[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case (c == ',' || c == ';') && depth <= 0:
			parts = append(parts, list[start:i])
			start = i + 1
		}
	}
	return append(parts, list[start:])
}
