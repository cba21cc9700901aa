package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// dialect is what differs between databases. All other statements are shared. They have ?
// for an argument, {now} for the clock of the database in microseconds since 1970,
// {active}, {retiring} and {inactive} for the states of a key, and {claim} and {change}
// for row locks.
type dialect struct {
	now string

	// state returns the state of a key as a literal.
	state func(store.State) string

	// claim locks the row of a key against changes of its state; change locks it for
	// changes of other columns. Where the database allows it, the two do not wait for
	// each other. FOR UPDATE waits for both.
	claim, change string

	// argument writes argument n, an int64, []byte or string, into a statement. If
	// literal is true it writes the value; otherwise it writes a parameter.
	argument func(b *strings.Builder, n int, arg any)
	literal  bool

	// schema creates the tables. It can be run again after it was interrupted; the last
	// statement marks it as complete. If atomic is true it is run in one transaction,
	// and begins with a lock that makes others wait.
	schema []string
	atomic bool

	// put stores a record if the key is active, and locks the key until it is stored. It
	// affects no row if the key is not active.
	put func(name, record []byte, id int64) (statement string, args []any)

	// setIdleTimeout makes the database end a transaction whose client stops responding
	// without closing the connection, for example after a power failure. Otherwise its
	// locks would outlive the lease. It is run in the transaction; restoreIdleTimeout, if
	// not empty, is run on the same connection after the transaction.
	setIdleTimeout, restoreIdleTimeout string

	// queueLock, if not empty, waits in a fair queue until every Put that has claimed a
	// key has ended, and makes later ones wait.
	queueLock string

	// length is an expression for the length of a record that does not read the record.
	length string

	// under is the condition that a record is under a key. byName, if not empty, makes
	// the database read records in the order of their names.
	under, byName string

	// move implements Move after the checks.
	move func(ctx context.Context, q session, from, to int64, swaps []store.Swap) (moved int64,
		err error)

	// returning reports whether INSERT and UPDATE support RETURNING.
	returning bool

	// settings, if not empty, selects the settings of a session that determine whether a
	// statement is committed, and what it returns. If they differ from defaults, adapt
	// changes them before the session is used, and restore restores them.
	settings, defaults string
	adapt              []string
	restore            string

	// nonTransactional, if not empty, counts the tables for which the database silently
	// chose an engine without transactions.
	nonTransactional string

	placeholders *strings.Replacer
}

const (
	leaseTTL    = "15000000" // how long the lease lasts without being renewed, in microseconds
	idleTimeout = "15"       // how long a client may be idle in a transaction, in seconds
)

// compile sets the replacer for placeholders and returns d.
func (d *dialect) compile() *dialect {
	d.placeholders = strings.NewReplacer(
		"{now}", d.now, "{claim}", d.claim, "{change}", d.change,
		"{leaseTTL}", leaseTTL, "{idleTimeout}", idleTimeout, "{head}", strconv.Itoa(seal.HeadSize),
		"{active}", d.state(store.Active), "{retiring}", d.state(store.Retiring), "{inactive}",
		d.state(store.Inactive),
	)
	return d
}

// render returns a statement, and its arguments, in the dialect.
func (d *dialect) render(statement string, args []any) (string, []any) {
	rest := d.placeholders.Replace(statement)
	var b strings.Builder
	for i, arg := range args {
		before, after, _ := strings.Cut(rest, "?")
		b.WriteString(before)
		d.argument(&b, i+1, arg)
		rest = after
	}
	b.WriteString(rest)
	if d.literal {
		return b.String(), nil
	}
	return b.String(), args
}
