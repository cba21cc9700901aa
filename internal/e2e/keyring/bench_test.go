package keyring_test

import (
	"crypto/rand"
	"database/sql"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keystore"
)

func BenchmarkRotatePostgreSQL(b *testing.B) { benchmarkRotate(b, postgres) }

func BenchmarkRotateMariaDB(b *testing.B) { benchmarkRotate(b, mariadb) }

// benchmarkRotate compares a rotation with merely writing other bytes into the
// same rows, a thousand in a transaction, and tells how far the heap grows.
func benchmarkRotate(b *testing.B, s server) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := place{s.own(b), s, newRoot()}
			p.filled(b, n)
			k, db, store := p.node(b), p.Open(b), p.store(b)
			var rotated, rewritten time.Duration
			var grown uint64
			for b.Loop() {
				p.tidy(b, db)
				start := time.Now()
				grown = max(grown, heapGrowth(func() {
					done, err := k.Rotate(b.Context())
					require.NoError(b, err)
					require.Equal(b, n, done.Moved)
				}))
				rotated += time.Since(start)

				boxes := all(b, store)
				p.tidy(b, db)
				start = time.Now()
				p.rewrite(b, db, noise(boxes))
				rewritten += time.Since(start)
				p.tidy(b, db)
				p.rewrite(b, db, boxes)
				_, err := k.DeleteInactive(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(rotated.Nanoseconds())/float64(b.N), "ns/op")
			b.ReportMetric(float64(rewritten.Nanoseconds())/float64(b.N), "rewrite-ns/op")
			b.ReportMetric(float64(rotated)/float64(rewritten), "times-rewrite")
			b.ReportMetric(float64(grown)/(1<<20), "MiB-heap")
		})
	}
}

// tidy clears what earlier writes have left, so that all begin alike.
func (p place) tidy(b *testing.B, db *sql.DB) {
	statement := "VACUUM ANALYZE secretref_boxes"
	if p.server.dialect == mariadb.dialect {
		statement = "ANALYZE TABLE secretref_boxes"
	}
	_, err := db.ExecContext(b.Context(), statement)
	require.NoError(b, err)
}

func all(b *testing.B, store keystore.Store) (boxes []keystore.Box) {
	err := keystore.Pages(b.Context(), store, keystore.Range{Limit: 1000, Bytes: 1 << 20}, func(page []keystore.Box) error {
		boxes = append(boxes, page...)
		return nil
	})
	require.NoError(b, err)
	return boxes
}

// noise returns random bytes for the same rows.
func noise(boxes []keystore.Box) []keystore.Box {
	random := make([]keystore.Box, len(boxes))
	for i, box := range boxes {
		random[i] = keystore.Box{Name: box.Name, Key: box.Key, Box: make([]byte, len(box.Box))}
		_, _ = rand.Read(random[i].Box)
	}
	return random
}

// rewrite writes the boxes in the fastest way that each database has.
func (p place) rewrite(b *testing.B, db *sql.DB, boxes []keystore.Box) {
	for len(boxes) > 0 {
		page := boxes[:min(1000, len(boxes))]
		boxes = boxes[len(page):]
		statement, args := rewritePostgreSQL(page)
		if p.server.dialect == mariadb.dialect {
			statement, args = rewriteMariaDB(page)
		}
		_, err := db.ExecContext(b.Context(), statement, args...)
		require.NoError(b, err)
	}
}

func rewritePostgreSQL(page []keystore.Box) (string, []any) {
	var names, texts [][]byte
	for _, box := range page {
		names, texts = append(names, []byte(box.Name)), append(texts, box.Box)
	}
	return `UPDATE secretref_boxes AS b SET box = s.box FROM unnest($1::bytea[], $2::bytea[]) AS s (name, box) WHERE b.name = s.name`, []any{names, texts}
}

func rewriteMariaDB(page []keystore.Box) (string, []any) {
	var args []any
	for _, box := range page {
		args = append(args, []byte(box.Name), int64(box.Key), box.Box, len(box.Box))
	}
	return "INSERT INTO secretref_boxes (name, key_id, box, length) VALUES " + strings.Repeat("(?, ?, ?, ?), ", len(page)-1) +
		"(?, ?, ?, ?) ON DUPLICATE KEY UPDATE box = VALUES(box)", args
}

// heapGrowth returns by how many bytes the heap in use grew at most during f.
func heapGrowth(f func()) uint64 {
	heap := func() uint64 {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.HeapInuse
	}
	runtime.GC()
	start := heap()
	peak := start
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.Tick(5 * time.Millisecond); ; {
			peak = max(peak, heap())
			select {
			case <-end:
				return
			case <-tick:
			}
		}
	}()
	f()
	close(end)
	<-ended
	return peak - start
}
