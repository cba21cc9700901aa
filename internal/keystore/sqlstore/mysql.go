package sqlstore

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keystore"
)

// mysql is MySQL 8 or newer and MariaDB 10.6 or newer.
func mysql() *dialect {
	return &dialect{
		now:   `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`, // whatever the session's time zone is
		claim: `LOCK IN SHARE MODE`, change: `FOR UPDATE`,

		// Numbers and x'…' need no quoting, and one round trip instead of two. The
		// server takes a parameter for text in the connection's character set, of a
		// length that it guesses: in some places it replaces what is not valid, and
		// cuts off what is too long.
		literal: true,
		argument: func(b *strings.Builder, _ int, arg any) {
			switch arg := arg.(type) {
			case int64:
				b.WriteString(strconv.FormatInt(arg, 10))
			case []byte:
				writeHex(b, arg)
			default:
				panic(fmt.Sprintf("sqlstore: an argument is a %T", arg))
			}
		},

		// Each of these statements ends a transaction.
		schema: []string{
			`CREATE TABLE IF NOT EXISTS secretref_keys (
				id BIGINT NOT NULL PRIMARY KEY,
				state VARBINARY(16) NOT NULL,
				wrapped BLOB NOT NULL,
				seals BIGINT NOT NULL,
				created BIGINT NOT NULL,
				activated BIGINT NOT NULL,
				deactivated BIGINT NOT NULL
			) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
			// The length is a column because reading it from the box reads all of
			// the box. writes makes each statement that replaces a row change it:
			// by what it affects, Put and Move know what they did.
			`CREATE TABLE IF NOT EXISTS secretref_boxes (
				name VARBINARY(1024) NOT NULL PRIMARY KEY,
				key_id BIGINT NOT NULL,
				box MEDIUMBLOB NOT NULL,
				length INT NOT NULL,
				writes INT UNSIGNED NOT NULL DEFAULT 0,
				FOREIGN KEY (key_id) REFERENCES secretref_keys (id)
			) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
			`CREATE TABLE IF NOT EXISTS secretref_events (
				seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
				time BIGINT NOT NULL,
				actor MEDIUMBLOB NOT NULL,
				action MEDIUMBLOB NOT NULL,
				outcome MEDIUMBLOB NOT NULL,
				key_ids MEDIUMBLOB NOT NULL,
				detail MEDIUMBLOB NOT NULL
			) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
			`CREATE TABLE IF NOT EXISTS secretref_lease (
				id TINYINT NOT NULL PRIMARY KEY,
				token BIGINT NOT NULL,
				expires BIGINT NOT NULL
			) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS secretref_meta (
				id TINYINT NOT NULL PRIMARY KEY,
				version INT NOT NULL,
				root VARBINARY(8),
				active BIGINT
			) ENGINE=InnoDB`,
			`INSERT IGNORE INTO secretref_lease (id, token, expires) VALUES (1, 0, 0)`,
			`INSERT IGNORE INTO secretref_meta (id, version) VALUES (1, 1)`,
		},

		// The only limit that both MySQL and MariaDB have is one of the session.
		guard:   `SET @secretref_wait = @@SESSION.wait_timeout, SESSION wait_timeout = {silence}`,
		unguard: `SET SESSION wait_timeout = @secretref_wait`,

		// A locking read sees the latest version of the key's row, and the lock
		// ends with the statement's transaction.
		put: `INSERT INTO secretref_boxes (name, key_id, box, length)
			SELECT n.name, k.id, n.box, LENGTH(n.box) FROM secretref_keys k, (SELECT ? AS name, ? AS box) n
			WHERE k.id = ? AND k.state = 'active' {claim}
			ON DUPLICATE KEY UPDATE key_id = VALUES(key_id), box = VALUES(box), length = VALUES(length), writes = (writes + 1) & 1023`,

		page: mysqlPage,
		move: mysqlMove,
	}
}

func mysqlPage(all bool, limit int) string {
	under := ""
	if !all {
		under = "AND key_id = ?"
	}
	return `SELECT b.name, b.key_id, b.box FROM (
			SELECT name, SUM(length) OVER (ORDER BY name) - length AS before_it FROM (
				SELECT name, length FROM secretref_boxes WHERE name > ? ` + under + ` ORDER BY name LIMIT ` + strconv.Itoa(limit) + `
			) AS page
		) AS summed JOIN secretref_boxes b ON b.name = summed.name WHERE before_it < ? ORDER BY b.name`
}

// mysqlMove moves as many boxes as fit into a packet that any server takes
// which can store the longest one. The boxes are in CASE expressions and not in
// a derived table: MariaDB makes a temporary table of that, and cuts boxes of 64
// KiB and more off in it.
func mysqlMove(from, to int64, swaps []keystore.Swap) (string, []any, int) {
	const most, size = 250, 1 << 20
	n := 0
	for bytes := 0; n < min(len(swaps), most) && (n == 0 || bytes+len(swaps[n].Box) <= size); n++ {
		bytes += len(swaps[n].Box)
	}
	swaps = swaps[:n]
	var b strings.Builder
	byName := func(value func(s *keystore.Swap)) {
		b.WriteString("CASE name")
		for i := range swaps {
			b.WriteString(" WHEN ")
			writeHex(&b, []byte(swaps[i].Name))
			b.WriteString(" THEN ")
			value(&swaps[i])
		}
		b.WriteString(" END")
	}
	b.WriteString("UPDATE secretref_boxes SET box = ")
	byName(func(s *keystore.Swap) { writeHex(&b, s.Box) })
	b.WriteString(", length = ")
	byName(func(s *keystore.Swap) { b.WriteString(strconv.Itoa(len(s.Box))) })
	b.WriteString(", key_id = ?, writes = (writes + 1) & 1023 WHERE key_id = ? AND name IN (")
	for i := range swaps {
		if i > 0 {
			b.WriteString(", ")
		}
		writeHex(&b, []byte(swaps[i].Name))
	}
	b.WriteString(") AND SUBSTR(box, 1, {head}) = ")
	byName(func(s *keystore.Swap) { writeHex(&b, s.Head) })
	return b.String(), []any{to, from}, n
}

// writeHex writes a string of bytes as a literal.
func writeHex(b *strings.Builder, value []byte) {
	b.Grow(len("x''") + hex.EncodedLen(len(value)))
	b.WriteString("x'")
	_, _ = hex.NewEncoder(b).Write(value) // a strings.Builder does not fail
	b.WriteString("'")
}
