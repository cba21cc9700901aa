package sqlstore_test
import ("testing";"fmt";"context";"time";"github.com/seed74218947/secretref/internal/keystore/sqlstore"
"github.com/seed74218947/secretref/internal/keystore"
"github.com/seed74218947/secretref/internal/seal"
"github.com/stretchr/testify/require"
)
func BenchmarkZZ(b *testing.B) {
	for _, fk := range []bool{true,false} {
	s := postgres
	db := s.shared(b).Open(b)
	st := sqlstore.New(db, s.dialect)
	fill(b, db, st, s)
	if !fk { db.Exec("ALTER TABLE secretref_boxes DROP CONSTRAINT secretref_boxes_key_id_fkey") }
	for from := seal.KeyID(1); from < 5; from++ {
	start := time.Now()
	rewrite(b, db, s)
	fmt.Println("rewrite", time.Since(start))
	ctx := context.Background()
	l, err := st.Acquire(ctx)
	require.NoError(b, err)
	to := from+1
	require.NoError(b, l.Activate(ctx, seal.Fingerprint{1}, from, keystore.Key{ID: to, Wrapped: []byte("wrapped")}, keystore.Event{}))
	var tb, tm, ts time.Duration
	for after := ""; ; {
		t0 := time.Now()
		page, err := st.Boxes(ctx, keystore.Range{Key: from, After: after, Limit: benchBatch, Bytes: 8 << 20})
		tb += time.Since(t0)
		require.NoError(b, err)
		if len(page) == 0 {
			break
		}
		t0 = time.Now()
		swaps := make([]keystore.Swap, len(page))
		for i, box := range page {
			swaps[i] = keystore.Swap{Name: box.Name, Head: box.Box[:seal.HeadSize], Box: randomBox(to)}
		}
		ts += time.Since(t0)
		t0 = time.Now()
		_, err = l.Move(ctx, from, to, swaps)
		tm += time.Since(t0)
		require.NoError(b, err)
		after = page[len(page)-1].Name
	}
	l.Retire(ctx, from, keystore.Event{})
	l.Release(ctx)
	fmt.Println("boxes", tb, "swaps", ts, "move", tm)
	}
	}
}
