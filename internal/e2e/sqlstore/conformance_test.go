package sqlstore_test

import (
	"testing"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/keystore/sqlstore"
	"github.com/seed74218947/secretref/internal/keystore/storetest"
)

// server is a kind of database server that the store must work with.
type server struct {
	name        string
	dialect     sqlstore.Dialect
	shared, own func(testing.TB) *databases.Database
}

var (
	postgres = server{"PostgreSQL", sqlstore.PostgreSQL, databases.PostgreSQL, databases.OwnPostgreSQL}
	mariadb  = server{"MariaDB", sqlstore.MySQL, databases.MariaDB, databases.OwnMariaDB}
)

// onEach runs the test on each of the servers, on all at the same time.
func onEach(t *testing.T, test func(t *testing.T, s server)) {
	t.Parallel()
	for _, s := range []server{postgres, mariadb} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		storetest.Run(t, func(t testing.TB) storetest.Place { return place(t, s) })
	})
}

// place is a database in which every other Store has the same connections.
func place(t testing.TB, s server, params ...string) storetest.Place {
	d := s.shared(t)
	pools := []*sqlstore.Store{sqlstore.New(d.Open(t, params...), s.dialect), sqlstore.New(d.Open(t, params...), s.dialect)}
	next := 0
	return func(testing.TB) keystore.Store {
		next++
		return pools[next%len(pools)]
	}
}
