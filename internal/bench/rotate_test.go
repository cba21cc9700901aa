package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// rotationSizes are the numbers of secrets of 32 bytes.
var rotationSizes = []int{1_000, 10_000, 100_000}

// pageSize is the number of rows that a transaction changes, as in a rotation.
const pageSize = 1000

// benchStore is a store with a keyring.
type benchStore interface {
	// grow stores more secrets until there are n.
	grow(b *testing.B, n int)
	keyring() *secretref.Keyring
	// reopen opens the keyring a second time.
	reopen(b *testing.B, opts secretref.KeyringOptions) *secretref.Keyring
	// settle waits for the effects of earlier writes, so that all runs begin alike.
	settle(b *testing.B)
	// rewrite returns two functions: write writes random bytes into all rows, over one connection and
	// with one transaction per page, and restore restores them. write changes the columns that a
	// rotation changes, so that the same indexes and foreign keys are used.
	rewrite(b *testing.B) (write, restore func())
}

// BenchmarkRotate rotates the key of a keyring: each secret is read, decrypted, encrypted with
// the new key and written.
func BenchmarkRotate(b *testing.B) {
	b.Run("file", func(b *testing.B) { rotate(b, newFileStore(b)) })
	for _, s := range []sqlServer{postgresql, mariadb} {
		b.Run(s.name, func(b *testing.B) {
			defer func() {
				if b.Skipped() { // RESULTS.md explains the missing rows
					fmt.Printf("absent-%s: not installed\n", s.name)
				}
			}()
			rotate(b, newSQLStore(b, s))
		})
	}
	b.Run("memory", rotateTink)
}

func rotate(b *testing.B, p benchStore) {
	for _, n := range rotationSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p.grow(b, n)
			b.Run("secretref", func(b *testing.B) {
				k := p.keyring()
				for b.Loop() {
					b.StopTimer()
					p.settle(b)
					b.StartTimer()

					done, err := k.Rotate(b.Context())
					if err != nil || done.Moved != n {
						b.Fatalf("%d secrets moved: %v", done.Moved, err)
					}

					b.StopTimer()
					verify(b, k)
					if _, err := k.DeleteInactive(b.Context()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(liveHeap(b, p), "heap-B/op")
			})
			b.Run("limit-rewrite", func(b *testing.B) {
				write, restore := p.rewrite(b)
				for b.Loop() {
					b.StopTimer()
					p.settle(b)
					b.StartTimer()

					write()

					b.StopTimer()
					restore()
					verify(b, p.keyring())
					b.StartTimer()
				}
			})
		})
	}
}

func secretName(i int) string { return fmt.Sprintf("service-%06d/password", i) }

func secretText(i int) string { return fmt.Sprintf("the secret with the number %05d", i) }

// verify decrypts every secret and compares one.
func verify(b *testing.B, k *secretref.Keyring) {
	if err := k.Verify(b.Context()); err != nil {
		b.Fatal(err)
	}
	s, err := k.Get(b.Context(), secretName(7))
	if err != nil || s.Reveal() != secretText(7) {
		b.Fatal("a secret differs from the stored one", err)
	}
}

// fileStore is a FileStore. It grows on a RAM disk, which is faster, and is measured on the disk.
type fileStore struct {
	path    string
	secrets int
	keys    *secretref.Keyring
}

func newFileStore(b *testing.B) *fileStore {
	return &fileStore{path: filepath.Join(b.TempDir(), "keyring.db")}
}

func (p *fileStore) keyring() *secretref.Keyring { return p.keys }

func (p *fileStore) reopen(b *testing.B, opts secretref.KeyringOptions) *secretref.Keyring {
	return open(b, secretref.FileStore(p.path), &opts)
}

// settle syncs the file that grow copied, or else the first commit would.
func (p *fileStore) settle(b *testing.B) {
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

func (p *fileStore) grow(b *testing.B, n int) {
	dir := b.TempDir()
	if memory, err := os.MkdirTemp("/dev/shm", "secretref-bench-"); err == nil {
		defer func() { _ = os.RemoveAll(memory) }()
		dir = memory
	}
	path := filepath.Join(dir, "keyring.db")
	if p.keys != nil {
		if err := p.keys.Close(); err != nil {
			b.Fatal(err)
		}
		copyKeyring(b, path, p.path)
	}
	k := open(b, secretref.FileStore(path), nil)
	for ; p.secrets < n; p.secrets++ {
		if err := k.Put(b.Context(), secretName(p.secrets),
			secretref.NewSecret(secretText(p.secrets))); err != nil {
			b.Fatal(err)
		}
	}
	if err := k.Close(); err != nil {
		b.Fatal(err)
	}
	copyKeyring(b, p.path, path)
	p.keys = open(b, secretref.FileStore(p.path), nil)
}

// copyKeyring copies the database and its root key.
func copyKeyring(b *testing.B, to, from string) {
	for _, suffix := range []string{"", ".key"} {
		text, err := os.ReadFile(from + suffix)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func open(b *testing.B, store secretref.KeyStore,
	opts *secretref.KeyringOptions) *secretref.Keyring {
	k, err := secretref.OpenKeyring(context.Background(), store, opts)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// rewrite changes rows of the same names and sizes in a bbolt file of its own, which stays open
// and also syncs at each commit.
func (p *fileStore) rewrite(b *testing.B) (write, restore func()) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "rows.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	const head = 16 // the header of each record
	type row struct{ name, text []byte }
	table := make([]row, p.secrets)
	for i := range table {
		table[i] = row{[]byte(secretName(i)), make([]byte, head+len(secretText(i))+seal.Overhead)}
		_, _ = rand.Read(table[i].text)
	}
	write = func() {
		for i := 0; i < p.secrets; i += pageSize {
			err := db.Update(func(tx *bbolt.Tx) error {
				rows, err := tx.CreateBucketIfNotExists([]byte("boxes"))
				for _, r := range table[i:min(i+pageSize, len(table))] {
					if err == nil {
						err = rows.Put(r.name, r.text)
					}
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	write()
	return write, func() {}
}

// liveHeap returns the largest growth of the live heap in bytes during one more rotation. It
// collects the garbage after each page, while the next one is already read.
func liveHeap(b *testing.B, p benchStore) float64 {
	live := func() uint64 {
		runtime.GC()
		runtime.GC() // objects in a sync.Pool survive the first collection
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	var peak uint64
	k := p.reopen(b, secretref.KeyringOptions{Progress: func(int, int) { peak = max(peak, live()) }})
	start := live()
	if _, err := k.Rotate(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := k.DeleteInactive(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := k.Close(); err != nil {
		b.Fatal(err)
	}
	return float64(peak) - float64(start)
}
