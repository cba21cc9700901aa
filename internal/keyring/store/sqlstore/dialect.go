package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// dialect is what databases say differently. Everything else is written once,
// with ? for an argument, {now} for the database's clock in microseconds since
// 1970, {active}, {retiring} and {inactive} for the states of a key, and {claim}
// and {change} for locks.
type dialect struct {
	now string

	// state writes the state of a key as a literal.
	state func(store.State) string

	// claim locks a key's row as long as it must stay as it is, except for what
	// change allows: all but its state. The two do not wait for each other if the
	// database can help it. FOR UPDATE waits for both.
	claim, change string

	// argument writes argument n, which is an int64, []byte or string, into a
	// statement. With literal that is all of it, else it is given beside.
	argument func(b *strings.Builder, n int, arg any)
	literal  bool

	// schema makes the tables. It can be run again after it was cut off, and
	// the last statement is what shows that it was not. With atomic it is one
	// transaction, and begins with a lock that makes others wait.
	schema []string
	atomic bool

	// put stores a record if the key is active, and lets nobody change that before
	// it is stored. It affects no row if the key is not active.
	put func(name, record []byte, id int64) (statement string, args []any)

	// guard makes the database end a transaction whose client has fallen silent
	// without closing the connection, as a machine does that loses its power: its
	// locks would outlive the lease. It is run in the transaction, and unguard,
	// unless empty, on the same connection when the transaction has ended.
	guard, unguard string

	// gate, unless empty, waits in a queue for every Put that has claimed a key
	// to end, and makes those behind it wait.
	gate string

	// length is how long a record is, without reading it.
	length string

	// under is the condition that a record is under a key. byName, unless empty,
	// makes the database read records in the order of their names.
	under, byName string

	// move is what Move does once it is known that it may.
	move func(ctx context.Context, q session, from, to int64, swaps []store.Swap) (moved int64, err error)

	// returning tells whether INSERT and UPDATE have a RETURNING clause.
	returning bool

	// settings, unless empty, reads those settings of a session that decide
	// whether a statement is committed, and what it returns. Where they are not
	// the ordinary ones, adapt changes them before the session is used, and
	// restore puts them back.
	settings, ordinary string
	adapt              []string
	restore            string

	// foreign, unless empty, counts the tables that the database has made in
	// another way than it was asked to, without a word: they know no
	// transactions.
	foreign string

	words *strings.Replacer
}

const (
	lapse   = "15000000" // how long the lease is held without being prolonged, in microseconds
	silence = "15"       // how long a client may be silent amid a transaction, in seconds
)

// prepared is d once its words are known.
func (d *dialect) prepared() *dialect {
	d.words = strings.NewReplacer(
		"{now}", d.now, "{claim}", d.claim, "{change}", d.change,
		"{lapse}", lapse, "{silence}", silence, "{head}", strconv.Itoa(seal.HeadSize),
		"{active}", d.state(store.Active), "{retiring}", d.state(store.Retiring), "{inactive}", d.state(store.Inactive),
	)
	return d
}

// render makes a statement of the database's, and its arguments, out of ours.
func (d *dialect) render(statement string, args []any) (string, []any) {
	rest := d.words.Replace(statement)
	var b strings.Builder
	for i, arg := range args {
		before, behind, _ := strings.Cut(rest, "?")
		b.WriteString(before)
		d.argument(&b, i+1, arg)
		rest = behind
	}
	b.WriteString(rest)
	if d.literal {
		return b.String(), nil
	}
	return b.String(), args
}
