package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/keystore/bolt"
	"github.com/seed74218947/secretref/internal/keystore/storetest"
)

func fresh(t testing.TB) storetest.Place {
	path := filepath.Join(t.TempDir(), "keyring.db")
	return func(testing.TB) keystore.Store { return bolt.New(path) }
}

func TestConformance(t *testing.T) { storetest.Run(t, fresh) }

func TestConcurrency(t *testing.T) { storetest.Concurrency(t, fresh(t)) }
