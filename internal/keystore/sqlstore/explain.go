package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
)

// explain gives an error of a driver its kind and a text for people. What has a
// kind already keeps it: the password of a database may come from elsewhere.
func explain(ctx context.Context, err error) error {
	if err == nil || told(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return fault.New(fault.Unavailable, "the call was given up before the database had answered").Because(ended)
	}
	c := complaintIn(err)
	switch c.code {
	case "":
		return fault.New(fault.Unavailable, "the database does not answer: %s", cmp.Or(network(err), "the connection was lost, or its driver failed")).Because(err)
	case "42P01", "1146": // undefined table
		return keystore.ErrEmpty
	case "23503", "1451": // foreign key
		return keystore.ErrInUse
	}
	kind, hint := c.kind()
	return fault.New(kind, "the database says: %s%s", c, hint).Because(err)
}

// told reports whether err is meant for our caller.
func told(err error) bool {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return true
	}
	for _, own := range []error{keystore.ErrEmpty, keystore.ErrNotActive, keystore.ErrSpent, keystore.ErrChanged, keystore.ErrInUse} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// complaint is what a database itself says.
type complaint struct {
	code    string // an SQLSTATE of PostgreSQL, or a number of MySQL
	message string
}

// kind tells codes apart that callers branch on.
func (c complaint) kind() (kind error, hint string) {
	switch c.code {
	case "28P01", "28000", "1045", "1698", "3118":
		return fault.Unauthenticated, ""
	case "42501", "3F000", "1044", "1142", "1143", "1227", "1370":
		return fault.Denied, "; its user needs SELECT, INSERT, UPDATE and DELETE on the secretref_ tables, and CREATE (with MySQL REFERENCES, too) when it is the first to use them"
	case "25006", "1290", "1836":
		return fault.Unavailable, "; the keyring needs the primary server"
	}
	return fault.Unavailable, ""
}

// gaveWay reports whether the database has rolled a transaction back, or a
// statement that waited too long, so that it can be run again.
func gaveWay(err error) bool {
	if told(err) {
		return false
	}
	switch complaintIn(err).code {
	case "40001", "40P01", "55P03", "1213", "1205", "1020":
		return true
	}
	return false
}

// refusedStatement reports whether the database does not know what a statement
// of ours talks about.
func refusedStatement(err error) bool {
	code := complaintIn(err).code
	return code == "42703" || code == "42804" || code == "42883" || code == "1054"
}

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
	}, text)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text + " (" + c.code + ")"
}

// quotesData reports whether the message may hold a part of the statement, or
// of what was to be stored.
func (c complaint) quotesData() bool {
	switch c.code {
	case "42601", "42804", "1064", "1149", "1292", "1366", "1367", "1411", "1525", "1690", "3141", "3854":
		return true
	}
	return strings.HasPrefix(c.code, "22") && len(c.code) == 5
}

// complaintIn finds what the database said, without knowing its driver. Those of
// PostgreSQL have a method SQLState, and go-sql-driver/mysql has a struct with a
// Number; both have the Message alone in a field of that name.
func complaintIn(err error) complaint {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok && e.SQLState() != "" {
		return complaint{e.SQLState(), field(e, "Message")}
	}
	for e := range chain(err) {
		if number := field(e, "Number"); number != "" && number != "0" {
			return complaint{number, field(e, "Message")}
		}
	}
	return complaint{}
}

// chain yields err and all that it wraps.
func chain(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if !walk(inner, yield) {
				return false
			}
		}
	}
	return true
}

// field returns an exported field of a struct, or of one that v points to.
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

// network says what is wrong with the way to the database, or nothing.
func network(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Addr != nil {
		if system, ok := errors.AsType[*os.SyscallError](e.Err); ok {
			return e.Op + " " + e.Addr.String() + ": " + system.Err.Error()
		}
		return e.Op + " " + e.Addr.String()
	}
	return ""
}
