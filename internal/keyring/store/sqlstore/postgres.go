package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref/internal/keyring/store"
)

// postgres is PostgreSQL 12 or newer.
func postgres() *dialect {
	return &dialect{
		returning: true,
		argument: func(b *strings.Builder, n int, arg any) {
			b.WriteString("$" + strconv.Itoa(n))
			if _, ok := arg.([]byte); ok {
				b.WriteString("::bytea")
			}
		},
		// now() is the start of the transaction
		now:   `(extract(epoch from clock_timestamp()) * 1000000)::bigint`,
		state: func(s store.State) string { return "'" + string(s) + "'" },
		claim: `FOR KEY SHARE`, change: `FOR NO KEY UPDATE`,

		atomic: true,
		schema: []string{
			// IF NOT EXISTS does not help if two processes check at the same time.
			`SELECT pg_advisory_xact_lock(8314035726215439726)`,
			`CREATE TABLE IF NOT EXISTS secretref_keys (
				id bigint PRIMARY KEY,
				state text NOT NULL,
				wrapped bytea NOT NULL,
				encryptions bigint NOT NULL,
				created bigint NOT NULL,
				activated bigint NOT NULL,
				deactivated bigint NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS secretref_records (
				name bytea PRIMARY KEY,
				key_id bigint NOT NULL REFERENCES secretref_keys,
				record bytea NOT NULL)`,
			// Ciphertext does not compress, and the head of an uncompressed value can be read
			// without the rest.
			`ALTER TABLE secretref_records ALTER COLUMN record SET STORAGE EXTERNAL`,
			`CREATE TABLE IF NOT EXISTS secretref_events (
				seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				time bigint NOT NULL,
				actor bytea NOT NULL,
				action bytea NOT NULL,
				outcome bytea NOT NULL,
				key_ids bytea NOT NULL,
				detail bytea NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS secretref_lease (
				id smallint PRIMARY KEY CHECK (id = 1),
				token bigint NOT NULL,
				expires bigint NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS secretref_meta (
				id smallint PRIMARY KEY CHECK (id = 1),
				version integer NOT NULL,
				root bytea,
				active bigint)`,
			`INSERT INTO secretref_lease (id, token, expires) VALUES (1, 0, 0) ON CONFLICT DO NOTHING`,
			`INSERT INTO secretref_meta (id, version) VALUES (1, 1) ON CONFLICT DO NOTHING`,
		},

		setIdleTimeout: `SET LOCAL idle_in_transaction_session_timeout = '{idleTimeout}s'`,

		// Waiting for shared row locks may take forever, since others can join meanwhile. The
		// queue of a table lock is fair.
		queueLock: `LOCK TABLE secretref_keys IN EXCLUSIVE MODE`,

		put:    postgresPut,
		length: `octet_length(record)`,
		// With a plain equality the planner expects few rows under the key, and reads the
		// whole table for each page.
		under: `coalesce(key_id = ?, false)`,
		move:  postgresMove,
	}
}

// postgresPut locks the row of the key, in its latest version, before it inserts. The lock
// ends with the transaction of the statement.
func postgresPut(name, record []byte, id int64) (string, []any) {
	return `INSERT INTO secretref_records (name, key_id, record)
		SELECT ?, id, ? FROM secretref_keys WHERE id = ? AND state = {active} {claim}
		ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, record = excluded.record`, []any{name, record, id}
}

// postgresMove moves all records at once. It passes them concatenated in one argument, so
// that no driver has to encode an array of byte strings and the server need not parse
// one. The range of names keeps the planner from reading the whole table.
func postgresMove(ctx context.Context, q session, from, to int64, swaps []store.Swap) (int64,
	error) {
	const update = `UPDATE secretref_records AS b SET record = s.record, key_id = ?
		FROM (
			SELECT substr(packed.bytes, start, name) AS name, substr(packed.bytes, start + name, head) AS head, substr(packed.bytes, start + name + head, record) AS record
			FROM (SELECT ?::bytea AS bytes) AS packed,
				unnest(?::text::int[], ?::text::int[], ?::text::int[], ?::text::int[]) AS part (start, name, head, record)
		) AS s
		WHERE b.name = s.name AND b.key_id = ? AND substr(b.record, 1, {head}) = s.head AND b.name BETWEEN ? AND ?`
	size := 0
	for i := range swaps {
		size += len(swaps[i].Name) + len(swaps[i].Head) + len(swaps[i].Sealed)
	}
	packed := make([]byte, 0, size)
	var starts, names, heads, records numbers
	for i := range swaps {
		s := &swaps[i]
		starts.add(len(packed) + 1) // substr counts from 1
		names.add(len(s.Name))
		heads.add(len(s.Head))
		records.add(len(s.Sealed))
		packed = append(append(append(packed, s.Name...), s.Head...), s.Sealed...)
	}
	first, last := nameRange(swaps)
	return q.exec(ctx, update, to, packed, starts.text(), names.text(), heads.text(), records.text(),
		from, first, last)
}

// numbers builds the text of an array of integers, such as {1,2}.
type numbers []byte

func (n *numbers) add(i int) { *n = strconv.AppendInt(append(*n, ','), int64(i), 10) }

func (n numbers) text() string {
	if len(n) == 0 {
		return "{}"
	}
	return "{" + string(n[1:]) + "}"
}
