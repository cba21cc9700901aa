package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
	"github.com/seed74218947/secretref/internal/keyring/store/storetest"
)

func fresh(t testing.TB) storetest.Opener {
	path := filepath.Join(t.TempDir(), "keyring.db")
	return func(testing.TB) store.Store { return boltstore.New(path) }
}

func TestConformance(t *testing.T) { storetest.Run(t, fresh) }

func TestConcurrency(t *testing.T) { storetest.Concurrency(t, fresh(t)) }
