package jdbc

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// A translation collects what stands in the way, so that all of it is told at
// once.
type translation struct {
	wrong   []string // what Java's driver would not understand, or what contradicts itself
	cannot  []string // where, as whom or how securely: no data source
	ignored []string // options that the data source lacks
	quoted  bool     // a password stands in the URL: the next "name" may be its end
}

// mistake records that the URL is mistaken.
func (t *translation) mistake(why string) { t.wrong = append(t.wrong, why) }

// refuse records an option or a form of URL without which the data source
// might lead elsewhere.
func (t *translation) refuse(why string) { t.cannot = append(t.cannot, why) }

// ignore records an option that the data source does without.
func (t *translation) ignore(what string) {
	if !slices.Contains(t.ignored, what) {
		t.ignored = append(t.ignored, what)
	}
}

func (t *translation) refused() bool { return len(t.wrong) > 0 || len(t.cannot) > 0 }

func (t *translation) refusal() error {
	if len(t.wrong) > 0 {
		return fault.New(fault.Syntax, "the database's URL: %s", strings.Join(append(t.wrong, t.cannot...), "; "))
	}
	return fault.New(fault.Unsupported, "no data source for Go leads to the same database in the same way: %s", strings.Join(t.cannot, "; "))
}

// login settles user and password, which the file may say twice.
func (t *translation) login(d Database, o *options) (user, password string) {
	user = t.once("user name", d.Username, o, "user")
	password = t.once("password", d.Password, o, "password")
	if user == "" {
		t.mistake("there is no user name")
	}
	return user, password
}

// once returns what the file and the URL agree on. JDBC drivers differ in whom
// they believe, and a wrong password may lock the account.
func (t *translation) once(what, fromFile string, o *options, name string) string {
	v, ok := o.take(name)
	switch {
	case !ok || v == fromFile:
	case fromFile == "":
		return v
	case v != "":
		t.mistake("there are two different values for the " + what + ", one in the URL: remove one")
	case o.class.emptyWins:
		t.mistake("the " + what + " is empty in the URL, which is what " + o.class.name + " believes: remove it there")
	}
	return fromFile
}
