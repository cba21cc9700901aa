package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/keystore/sqlstore"
	"github.com/seed74218947/secretref/internal/seal"
)

const (
	benchBoxes = 100_000
	benchSize  = 32 + seal.Overhead
	benchBatch = 1000
)

// BenchmarkRotation moves 100 000 boxes to another key, and, to compare, writes
// random bytes into the same rows, as fast as the database does that: without
// reading, without a key, in the same batches.
func BenchmarkRotation(b *testing.B) {
	for _, s := range []server{postgres, mariadb} {
		b.Run(s.name, func(b *testing.B) {
			db := s.shared(b).Open(b)
			st := sqlstore.New(db, s.dialect)
			fill(b, db, st, s)
			var rotation, plain time.Duration
			from := seal.KeyID(1)
			for b.Loop() {
				start := time.Now()
				rewrite(b, db, s)
				plain += time.Since(start)

				start = time.Now()
				rotate(b, st, from, from+1)
				rotation += time.Since(start)
				from++
			}
			b.ReportMetric(plain.Seconds()/float64(b.N), "s/rewrite")
			b.ReportMetric(rotation.Seconds()/float64(b.N), "s/rotation")
			b.ReportMetric(rotation.Seconds()/plain.Seconds(), "rotation/rewrite")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchName(i int) string { return fmt.Sprintf("service-%06d/password", i) }

func randomBox(id seal.KeyID) []byte {
	box := make([]byte, benchSize)
	_, _ = rand.Read(box)
	box[0] = 1
	binary.BigEndian.PutUint64(box[1:], uint64(id))
	return box
}

// fill stores the boxes under the key 1.
func fill(b *testing.B, db *sql.DB, st keystore.Store, s server) {
	ctx := context.Background()
	_, err := st.Create(ctx, seal.Fingerprint{1}, keystore.Key{ID: 1, Wrapped: []byte("wrapped")}, keystore.Event{})
	require.NoError(b, err)
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(b, err)
	const rows = 500
	for i := 0; i < benchBoxes; i += rows {
		var values []string
		for j := range rows {
			name, box := hex.EncodeToString([]byte(benchName(i+j))), hex.EncodeToString(randomBox(1))
			if s.dialect == sqlstore.MySQL {
				values = append(values, fmt.Sprintf("(x'%s', 1, x'%s', %d)", name, box, benchSize))
			} else {
				values = append(values, fmt.Sprintf(`('\x%s', 1, '\x%s')`, name, box))
			}
		}
		columns := "name, key_id, box"
		if s.dialect == sqlstore.MySQL {
			columns += ", length"
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO secretref_boxes ("+columns+") VALUES "+strings.Join(values, ","))
		require.NoError(b, err)
	}
	require.NoError(b, tx.Commit())
}

// rewrite is the bare work.
func rewrite(b *testing.B, db *sql.DB, s server) {
	ctx := context.Background()
	for i := 0; i < benchBoxes; i += benchBatch {
		var err error
		if s.dialect == sqlstore.MySQL {
			values := make([]string, benchBatch)
			for j := range benchBatch {
				values[j] = fmt.Sprintf("(x'%x', 1, x'%x', %d)", benchName(i+j), randomBox(1), benchSize)
			}
			_, err = db.ExecContext(ctx, "INSERT INTO secretref_boxes (name, key_id, box, length) VALUES "+strings.Join(values, ",")+
				" ON DUPLICATE KEY UPDATE box = VALUES(box)")
		} else {
			names, boxes := make([]string, benchBatch), make([]string, benchBatch)
			for j := range benchBatch {
				names[j] = fmt.Sprintf(`"\\x%x"`, benchName(i+j))
				boxes[j] = fmt.Sprintf(`"\\x%x"`, randomBox(1))
			}
			_, err = db.ExecContext(ctx, `UPDATE secretref_boxes b SET box = s.box
				FROM unnest($1::text::bytea[], $2::text::bytea[]) AS s (name, box) WHERE b.name = s.name`,
				"{"+strings.Join(names, ",")+"}", "{"+strings.Join(boxes, ",")+"}")
		}
		require.NoError(b, err)
	}
}

// rotate is what a rotation does, without the cryptography.
func rotate(b *testing.B, st keystore.Store, from, to seal.KeyID) {
	ctx := context.Background()
	l, err := st.Acquire(ctx)
	require.NoError(b, err)
	defer l.Release(ctx)
	require.NoError(b, l.Activate(ctx, seal.Fingerprint{1}, from, keystore.Key{ID: to, Wrapped: []byte("wrapped")}, keystore.Event{}))
	total := 0
	for after := ""; ; {
		page, err := st.Boxes(ctx, keystore.Range{Key: from, After: after, Limit: benchBatch, Bytes: 8 << 20})
		require.NoError(b, err)
		if len(page) == 0 {
			break
		}
		swaps := make([]keystore.Swap, len(page))
		for i, box := range page {
			swaps[i] = keystore.Swap{Name: box.Name, Head: box.Box[:seal.HeadSize], Box: randomBox(to)}
		}
		moved, err := l.Move(ctx, from, to, swaps)
		require.NoError(b, err)
		total += moved
		after = page[len(page)-1].Name
	}
	require.Equal(b, benchBoxes, total)
	require.NoError(b, l.Retire(ctx, from, keystore.Event{}))
}
