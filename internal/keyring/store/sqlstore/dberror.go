package sqlstore

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/sqlstate"
)

// complaint is what a database itself says: nothing that a driver adds, nor
// PostgreSQL's detail, which quotes rows.
type complaint struct {
	code    string // an SQLSTATE of PostgreSQL, or a number of MySQL
	message string
}

// Codes that mean something to the keyring.
const (
	undefinedTable  = "42P01"
	noSuchTable     = "1146"
	foreignKey      = "23503"
	rowIsReferenced = "1451"
)

// complaintIn finds what the database said, without knowing its driver. Errors
// of PostgreSQL's drivers have a method SQLState, go-sql-driver/mysql has a
// struct with a Number; all have the bare message in a field of that name.
func complaintIn(err error) complaint {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok && e.SQLState() != "" {
		return complaint{e.SQLState(), field(e, "Message")}
	}
	var found complaint
	walk(err, func(e error) bool {
		number := field(e, "Number")
		if number != "" && number != "0" {
			found = complaint{number, field(e, "Message")}
		}
		return found.code == ""
	})
	return found
}

// kind tells codes apart that callers branch on.
func (c complaint) kind() (hint string, kind error) {
	if sqlstate.LoginRefused(c.code, c.message) {
		return "", fault.Unauthenticated
	}
	switch c.code {
	case "1045", "1698", "3118": // the last two: no password needed, account locked
		return "", fault.Unauthenticated
	case "53100", "1021", "1030", "1114": // of the last two the message has the reason
		if c.code == "1030" && !strings.Contains(c.message, "28") && !strings.Contains(c.message, "No space") {
			return "", fault.Unavailable
		}
		return "; the database's disk is full: make room there, nothing was changed", fault.Unavailable
	case "42P05", "26000":
		return "; a pooler such as PgBouncer does not keep the prepared statements of a session: add default_query_exec_mode=exec (pgx) " +
			"or binary_parameters=yes (lib/pq) to the data source name, or have it pool sessions", fault.Unavailable
	case "3159": // require_secure_transport
		return "; the server accepts only TLS: add tls=true to the data source name", fault.Unavailable
	case "42501", "3F000", "1044", "1142", "1143", "1227", "1370":
		return "; its user needs SELECT, INSERT, UPDATE and DELETE on the secretref_ tables, " +
			"and CREATE, with MySQL also REFERENCES, to be the first that uses them", fault.Denied
	case "25006", "1290", "1836":
		return "; the keyring needs the primary server", fault.Unavailable
	}
	return "", fault.Unavailable
}

// String returns a line that holds nothing of what was to be stored but names.
func (c complaint) String() string {
	text := c.message
	if c.quotesData() {
		text = "it does not accept the statement"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "…"
	}
	return text + " (" + c.code + ")"
}

// quotesData reports whether the message may quote a part of the statement or a
// value.
func (c complaint) quotesData() bool {
	switch c.code {
	case "42601", "42804", "1064", "1149", "1292", "1366", "1367", "1411", "1525", "1690", "3141", "3854":
		return true
	}
	return strings.HasPrefix(c.code, "22") && len(c.code) == 5
}

// walk visits err and all that it wraps, as long as visit wants more.
func walk(err error, visit func(error) bool) bool {
	if err == nil {
		return true
	}
	if !visit(err) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if !walk(inner, visit) {
				return false
			}
		}
	}
	return true
}

// field returns a field of a struct, or of one that v points to, as text.
func field(v any, name string) string {
	s := reflect.ValueOf(v)
	if s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	if s.Kind() != reflect.Struct {
		return ""
	}
	switch f := s.FieldByName(name); f.Kind() {
	case reflect.String:
		return f.String()
	case reflect.Uint16:
		return strconv.FormatUint(f.Uint(), 10)
	}
	return ""
}
