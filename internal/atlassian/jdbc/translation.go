package jdbc

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// A translation collects all reasons against a data source, so that one error names
// them together.
type translation struct {
	mistakes    []string // the JDBC driver would not accept it, or it contradicts itself
	refusals    []string // it affects where, as whom or how securely to connect
	ignored     []string // options that are not in the data source
	hasPassword bool     // the URL has one: the next "name" may be the rest of it
}

// mistake records a mistake in the URL.
func (t *translation) mistake(why string) { t.mistakes = append(t.mistakes, why) }

// refuse records an option or a form of the URL without which the data source could
// open another database.
func (t *translation) refuse(why string) { t.refusals = append(t.refusals, why) }

// ignore records an option that is not in the data source.
func (t *translation) ignore(what string) {
	if !slices.Contains(t.ignored, what) {
		t.ignored = append(t.ignored, what)
	}
}

func (t *translation) refused() bool { return len(t.mistakes) > 0 || len(t.refusals) > 0 }

func (t *translation) refusal() error {
	if len(t.mistakes) > 0 {
		return fault.New(fault.Syntax,
			"the database's URL: %s", strings.Join(append(t.mistakes, t.refusals...), "; "))
	}
	return fault.New(fault.Unsupported,
		"no data source for Go opens the same database in the same way: %s",
		strings.Join(t.refusals, "; "))
}

// login returns user and password, which the file may have twice.
func (t *translation) login(d Database, o *options) (user, password string) {
	user = t.agree("user name", d.Username, o, "user")
	password = t.agree("password", d.Password, o, "password")
	if user == "" {
		t.mistake("there is no user name")
	}
	return user, password
}

// agree returns the value on which the file and the URL agree. JDBC drivers differ in
// which one they use, and a wrong password can lock the account.
func (t *translation) agree(what, fromFile string, o *options, name string) string {
	v, ok := o.take(name)
	switch {
	case !ok || v == fromFile:
	case fromFile == "":
		return v
	case v != "":
		t.mistake("there are two different values for the " + what + ", one in the URL: remove one")
	case o.class.emptyWins:
		t.mistake("the " + what + " is empty in the URL, and " + o.class.name +
			" uses that: remove it there")
	}
	return fromFile
}
