package sqlstore

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

// dialect is what databases say differently. Everything else is written once,
// with ? for an argument, {bytes} for one that is a []byte, {now} for the database's clock in microseconds since
// 1970, and {claim} and {change} for locks.
type dialect struct {
	numbered bool // arguments are $1, $2, …, not ?
	now      string

	// claim locks a key's row as long as it must stay as it is, except for what
	// change allows: all but its state. The two do not wait for each other if the
	// database can help it. FOR UPDATE waits for both.
	claim, change string

	// bytes stands for an argument that is a []byte. With inHex it is given as
	// hexadecimal digits.
	bytes string
	inHex bool

	// schema makes the tables. It can be run again after it was cut off, and
	// the last statement is what shows that it was not. With atomic it is one
	// transaction, and begins with a lock that makes others wait.
	schema []string
	atomic bool

	// put stores a box if the key is active, and lets nobody change that before
	// it is stored. Its arguments are name, key and box; it affects no row if
	// the key is not active.
	put string

	// guard makes the database end a transaction whose client has fallen silent
	// without closing the connection, as a machine does that loses its power: its
	// locks would outlive the lease. It is run in the transaction, and unguard,
	// unless empty, on the same connection when the transaction has ended.
	guard, unguard string

	// gate, unless empty, waits in a queue for every Put that has claimed a key
	// to end, and makes those behind it wait.
	gate string

	// page reads boxes: those behind a name, up to limit, as long as those
	// before hold fewer than so many bytes. Its arguments are the name, the key
	// unless all is set, and the bytes.
	page func(all bool, limit int) string

	// move replaces boxes. Its arguments are made of the keys and of as many of
	// the swaps as fit into one statement, which is how many it returns.
	move func(from, to int64, swaps []keystore.Swap) (statement string, args []any, n int)

	// returning tells whether INSERT and UPDATE have a RETURNING clause.
	returning bool
}

const (
	lapse   = "15000000" // how long the lease is held without being prolonged, in microseconds
	silence = "15"       // how long a client may be silent amid a transaction, in seconds
)

// text makes a statement of the database's out of one of ours.
func (d *dialect) text(statement string) string {
	statement = strings.NewReplacer("{bytes}", d.bytes, "{now}", d.now, "{claim}", d.claim, "{change}", d.change, "{lapse}", lapse, "{silence}", silence, "{head}", strconv.Itoa(seal.HeadSize)).Replace(statement)
	if !d.numbered {
		return statement
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(statement, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// arguments makes the database's out of ours.
func (d *dialect) arguments(args []any) []any {
	if d.inHex {
		args = slices.Clone(args)
		for i, arg := range args {
			if b, ok := arg.([]byte); ok {
				args[i] = hex.EncodeToString(b)
			}
		}
	}
	return args
}
