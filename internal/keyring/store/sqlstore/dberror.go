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

// maxMessageRunes limits the length of a database's message in an error.
const maxMessageRunes = 300

// dbError is the message of the database itself, without the additions of a driver and
// without the detail of PostgreSQL, which quotes rows.
type dbError struct {
	code    string // an SQLSTATE of PostgreSQL, or an error number of MySQL
	message string
}

// Codes that the store translates into its own errors.
const (
	undefinedTable  = "42P01"
	noSuchTable     = "1146"
	foreignKey      = "23503"
	rowIsReferenced = "1451"
)

// findDBError finds the error of the database in err without importing a driver. Errors
// of PostgreSQL drivers have a method SQLState; those of go-sql-driver/mysql are structs
// with a field Number. All have the bare message in a field Message.
func findDBError(err error) dbError {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok && e.SQLState() != "" {
		return dbError{e.SQLState(), field(e, "Message")}
	}
	var found dbError
	walk(err, func(e error) bool {
		number := field(e, "Number")
		if number != "" && number != "0" {
			found = dbError{number, field(e, "Message")}
		}
		return found.code == ""
	})
	return found
}

// classify returns the kind of an error, and a hint what to do.
func (d dbError) classify() (hint string, kind error) {
	if sqlstate.LoginRefused(d.code, d.message) {
		return "", fault.Unauthenticated
	}
	switch d.code {
	case "1045", "1698", "3118": // the last two: no password needed, account locked
		return "", fault.Unauthenticated
	case "53100", "1021", "1030", "1114": // 1030: only if the message says so
		if d.code == "1030" && !strings.Contains(d.message, "28") &&
			!strings.Contains(d.message, "No space") {
			return "", fault.Unavailable
		}
		return "; the disk of the database is full: free some space; nothing was changed",
			fault.Unavailable
	case "42P05", "26000":
		return "; a pooler such as PgBouncer does not preserve the prepared statements of a session: " +
			"add default_query_exec_mode=exec (pgx) or binary_parameters=yes (lib/pq) to the data source " +
			"name, or use session pooling", fault.Unavailable
	case "3159": // require_secure_transport
		return "; the server accepts only TLS: add tls=true to the data source name", fault.Unavailable
	case "42501", "3F000", "1044", "1142", "1143", "1227", "1370":
		return "; the database user needs SELECT, INSERT, UPDATE and DELETE on the secretref_ tables, " +
			"and to create them CREATE, with MySQL also REFERENCES", fault.Denied
	case "25006", "1290", "1836":
		return "; the keyring needs the primary server", fault.Unavailable
	}
	return "", fault.Unavailable
}

// String returns one line, which contains no stored values.
func (d dbError) String() string {
	text := d.message
	if d.quotesData() {
		text = "the statement is not accepted"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if r := []rune(text); len(r) > maxMessageRunes {
		text = string(r[:maxMessageRunes]) + "…"
	}
	return text + " (" + d.code + ")"
}

// quotesData reports whether the message may quote a part of the statement or a value.
func (d dbError) quotesData() bool {
	switch d.code {
	case "42601", "42804", "1064", "1149", "1292", "1366", "1367", "1411", "1525", "1690",
		"3141", "3854":
		return true
	}
	return strings.HasPrefix(d.code, "22") && len(d.code) == 5
}

// walk calls visit with err and every error that it wraps, until visit returns false.
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

// field returns a field of a struct or pointer to a struct as text, or "".
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
