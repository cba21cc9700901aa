package sqlstore_test

import (
	"testing"

	"github.com/seed74218947/secretref/internal/keystore/storetest"
)

func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		storetest.Run(t, func(t testing.TB) storetest.Place { return place(t, s) })
	})
}

func TestConcurrency(t *testing.T) {
	onEach(t, func(t *testing.T, s server) { storetest.Concurrency(t, place(t, s)) })
}

// What a caller, or an administrator, may have set: where statements are put
// together, whether unchanged rows count, character sets, time zones, quoting,
// isolation.
func TestConformanceWhateverTheConnectionIsLike(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		server
		params []string
	}{
		"PostgreSQL without prepared statements": {postgres, []string{
			"default_query_exec_mode=simple_protocol", "timezone=America/St_Johns",
		}},
		"PostgreSQL in serializable transactions": {postgres, []string{
			"default_query_exec_mode=exec", "default_transaction_isolation=serializable", "timezone=Asia/Tokyo",
		}},
		"MariaDB without prepared statements": {mariadb, []string{
			"interpolateParams=true", "charset=utf8mb4", "parseTime=true", "loc=Asia%2FTokyo", "time_zone=%27-03%3A30%27",
			"sql_mode=%27ANSI_QUOTES,NO_BACKSLASH_ESCAPES%27",
		}},
		"MariaDB counting found rows": {mariadb, []string{
			"clientFoundRows=true", "charset=latin1", "time_zone=%27%2B11%3A00%27", "tx_isolation=%27SERIALIZABLE%27",
			"sql_mode=%27ANSI,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES%27",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) storetest.Place { return place(t, row.server, row.params...) })
		})
	}
}
