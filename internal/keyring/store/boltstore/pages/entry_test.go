package pages_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

func TestEntry_Anchored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: size, NoSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"a", "b", "c"} { // within the top page, which they nearly fill
			b, err := tx.CreateBucket([]byte(name))
			require.NoError(t, err)
			require.NoError(t, b.Put([]byte("key"), make([]byte, 950)))
		}
		b, err := tx.CreateBucket([]byte("d"))
		require.NoError(t, err)
		return b.Put([]byte("key"), make([]byte, 980))
	}))
	require.NoError(t, db.Close())

	anchored := func(bucket, key string, n int) bool {
		b, err := open(t, path).Bucket(bucket)
		require.NoError(t, err)
		e, err := b.Get([]byte(key))
		require.NoError(t, err)
		require.NotNil(t, e)
		return e.Anchored(n)
	}
	assert.True(t, anchored("a", "key", 950))
	assert.True(t, anchored("c", "key", 950))
	assert.False(t, anchored("d", "key", 1), "the bucket goes on on a page without a number")

	db, err = bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		require.NoError(t, tx.DeleteBucket([]byte("a")))
		for i := range 3 {
			require.NoError(t, tx.Bucket([]byte("b")).Put(fmt.Append(nil, i), make([]byte, 2005)))
		}
		return nil
	}))
	require.NoError(t, db.Close())
	assert.True(t, anchored("d", "key", 950))
	assert.True(t, anchored("b", "0", 2005))
	assert.True(t, anchored("b", "1", 10))
	assert.False(t, anchored("b", "2", 10), "it begins on a page without a number")
	assert.False(t, anchored("b", "key", 10))
}

func TestFile_severalBuckets(t *testing.T) {
	f := newImage(t).open(t)
	small, err := f.Bucket("small")
	require.NoError(t, err)
	tree, err := f.Bucket("tree")
	require.NoError(t, err)
	for range 2 {
		e, err := tree.Get([]byte("key002"))
		require.NoError(t, err)
		require.NotNil(t, e)
		e, err = small.Get([]byte("key2"))
		require.NoError(t, err)
		require.NotNil(t, e)
	}
	none, err := f.Bucket("none")
	require.NoError(t, err)
	require.Nil(t, none)
}
