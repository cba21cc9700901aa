package sqlstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keyring/store"
)

// mysql is MySQL 8 or newer and MariaDB 10.6 or newer.
func mysql() *dialect {
	return &dialect{
		// whatever the session's time zone is
		now: `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`,
		state: func(s store.State) string {
			var b strings.Builder
			writeHex(&b, []byte(s)) // not '…', which is in the character set of the session, possibly UTF-16
			return b.String()
		},
		claim: `LOCK IN SHARE MODE`, change: `FOR UPDATE`,

		// Literals save a round trip, and numbers and x'…' need no quoting. The server treats
		// a parameter as text in the character set of the connection, of a length that it
		// guesses: it may replace invalid characters and truncate long values.
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

		// Each of these statements commits implicitly.
		schema: []string{
			`CREATE TABLE IF NOT EXISTS secretref_keys (
				id BIGINT NOT NULL PRIMARY KEY,
				state VARBINARY(16) NOT NULL,
				wrapped BLOB NOT NULL,
				encryptions BIGINT NOT NULL,
				created BIGINT NOT NULL,
				activated BIGINT NOT NULL,
				deactivated BIGINT NOT NULL
			) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
			// The length is a column because computing it reads the whole record. The column
			// writes makes each Put change the row, since Put knows from the number of
			// affected rows whether it has stored the record.
			`CREATE TABLE IF NOT EXISTS secretref_records (
				name VARBINARY(1024) NOT NULL PRIMARY KEY,
				key_id BIGINT NOT NULL,
				record MEDIUMBLOB NOT NULL,
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

		// MySQL and MariaDB have only this timeout in common, which applies to the session.
		setIdleTimeout:     `SET @secretref_wait = @@SESSION.wait_timeout, SESSION wait_timeout = {idleTimeout}`,
		restoreIdleTimeout: `SET SESSION wait_timeout = @secretref_wait`,

		// + 0, since as text a switch is 1 on some servers and ON on others.
		settings: `SELECT CONCAT_WS(' ', @@SESSION.autocommit + 0, @@SESSION.completion_type, @@SESSION.foreign_key_checks + 0,
			@@SESSION.unique_checks + 0, @@SESSION.sql_select_limit)`,
		defaults: `1 NO_CHAIN 1 1 18446744073709551615`,
		adapt: []string{
			// A transaction begun by completion_type=CHAIN would keep later statements from
			// being committed, and hide the commits of others.
			`COMMIT AND NO CHAIN NO RELEASE`,
			`SET @secretref_autocommit = @@SESSION.autocommit, @secretref_completion = @@SESSION.completion_type,
				@secretref_foreign = @@SESSION.foreign_key_checks, @secretref_unique = @@SESSION.unique_checks,
				@secretref_limit = @@SESSION.sql_select_limit, @secretref_results = @@SESSION.character_set_results,
				SESSION autocommit = 1, SESSION completion_type = 0, SESSION foreign_key_checks = 1,
				SESSION unique_checks = 1, SESSION sql_select_limit = DEFAULT, SESSION character_set_results = NULL`,
		},
		restore: `SET SESSION completion_type = @secretref_completion, SESSION foreign_key_checks = @secretref_foreign,
			SESSION unique_checks = @secretref_unique, SESSION sql_select_limit = @secretref_limit,
			SESSION character_set_results = @secretref_results, SESSION autocommit = @secretref_autocommit`,

		nonTransactional: `SELECT count(*) FROM information_schema.tables
			WHERE table_schema = DATABASE() AND table_name IN (` + ourTables + `) AND engine <> 'InnoDB'`,

		put:    mysqlPut,
		length: `length`,
		under:  `key_id = ?`,
		byName: `FORCE INDEX (PRIMARY)`, // with the index of key_id it would look up each row
		move:   mysqlMove,
	}
}

const ourTables = `'secretref_keys', 'secretref_records', 'secretref_events', 'secretref_lease', 'secretref_meta'`

// mysqlPut reads the row of the key with a lock, and so in its latest version. The lock
// ends with the transaction of the statement.
func mysqlPut(name, record []byte, id int64) (string, []any) {
	return `INSERT INTO secretref_records (name, key_id, record, length)
		SELECT ?, id, ?, ? FROM secretref_keys WHERE id = ? AND state = {active} {claim}
		ON DUPLICATE KEY UPDATE key_id = VALUES(key_id), record = VALUES(record), length = VALUES(length), writes = (writes + 1) & 1023`,
		[]any{name, record, int64(len(record)), id}
}

// mysqlMove moves records in batches that fit into a packet of any server that can store
// the longest record. It inserts values directly, without a derived table: MariaDB may
// truncate long values in the temporary table for one.
func mysqlMove(ctx context.Context, q session, from, to int64, swaps []store.Swap) (moved int64,
	err error) {
	const maxBatchRecords, maxBatchBytes = 500, 1 << 20
	for len(swaps) > 0 && err == nil {
		n, bytes := 0, 0
		limit := min(len(swaps), maxBatchRecords)
		for n < limit && (n == 0 || bytes+len(swaps[n].Sealed) <= maxBatchBytes) {
			bytes += len(swaps[n].Sealed)
			n++
		}
		var batch int64
		batch, err = mysqlMoveBatch(ctx, q, from, to, swaps[:n])
		moved += batch
		swaps = swaps[n:]
	}
	return moved, err
}

// mysqlMoveBatch locks the records that have not changed, so that the INSERT finds all of
// them. It reads the range from the first name to the last, which is cheaper than to look
// up each name: a page of a rotation has all records under the key in that range.
func mysqlMoveBatch(ctx context.Context, q session, from, to int64,
	swaps []store.Swap) (moved int64, err error) {
	records := make(map[string][]byte, len(swaps))
	heads := make(map[string][]byte, len(swaps))
	for i := range swaps {
		s := &swaps[i]
		records[s.Name], heads[s.Name] = s.Sealed, s.Head
	}
	first, last := nameRange(swaps)
	rows, err := q.query(ctx,
		`SELECT name, SUBSTR(record, 1, {head}) FROM secretref_records FORCE INDEX (PRIMARY)
		WHERE key_id = ? AND name BETWEEN ? AND ? FOR UPDATE`, from, first, last)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var values []any
	for rows.Next() {
		var name string
		var head []byte
		if err := rows.Scan(&name, &head); err != nil {
			return 0, err
		}
		if expected, ok := heads[name]; ok && bytes.Equal(head, expected) {
			values = append(values, []byte(name), to, records[name], int64(len(records[name])))
			moved++
		}
	}
	if err := rows.Err(); err != nil || moved == 0 {
		return 0, err
	}
	_, err = q.exec(ctx, `INSERT INTO secretref_records (name, key_id, record, length)
		VALUES (?, ?, ?, ?)`+strings.Repeat(", (?, ?, ?, ?)", int(moved)-1)+`
		ON DUPLICATE KEY UPDATE key_id = VALUES(key_id), record = VALUES(record), length = VALUES(length)`, values...)
	return moved, err
}

// writeHex writes bytes as a hexadecimal literal.
func writeHex(b *strings.Builder, value []byte) {
	b.Grow(len("x''") + hex.EncodedLen(len(value)))
	b.WriteString("x'")
	var digits [1 << 10]byte
	for part := range slices.Chunk(value, len(digits)/2) {
		b.Write(digits[:hex.Encode(digits[:], part)])
	}
	b.WriteString("'")
}
