package sqlstore_test

import (
	"testing"

	"github.com/seed74218947/secretref/internal/keyring/store/storetest"
)

func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		storetest.Run(t, func(t testing.TB) storetest.Opener { return newOpener(t, s) })
	})
}

func TestConcurrency(t *testing.T) {
	onEach(t, func(t *testing.T, s server) { storetest.Concurrency(t, newOpener(t, s)) })
}

// What a caller or administrator may have set: where parameters are interpolated, whether
// unchanged rows count, time zones, quoting, isolation.
func TestConformance_connectionParameters(t *testing.T) {
	params := map[string][]string{
		postgres.name: {"default_query_exec_mode=simple_protocol",
			"default_transaction_isolation=serializable", "timezone=America/St_Johns"},
		mariadb.name: {
			"interpolateParams=true", "clientFoundRows=true", "parseTime=true", "loc=Asia%2FTokyo",
			"time_zone=%27-03%3A30%27",
			"sql_mode=%27ANSI,NO_BACKSLASH_ESCAPES%27", "tx_isolation=%27SERIALIZABLE%27",
		},
	}
	onEach(t, func(t *testing.T, s server) {
		storetest.Run(t,
			func(t testing.TB) storetest.Opener { return newOpener(t, s, params[s.name]...) })
	})
}
