package secretref_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

func BenchmarkVaultColdResolve(b *testing.B) {
	s := vaultFake(b)
	s.Put("secret", "db", map[string]any{"k": "v"})
	vaultBenchmark(b, s, vaultValue(s.URL(), "db", "k"))
}

func BenchmarkVaultHundredReferencesOneSecret(b *testing.B) {
	s := vaultFake(b)
	data := map[string]any{}
	values := make([]string, 100)
	for i := range values {
		data[fmt.Sprint("k", i)] = fmt.Sprint("v", i)
		values[i] = vaultValue(s.URL(), "db", fmt.Sprint("k", i))
	}
	s.Put("secret", "db", data)
	vaultBenchmark(b, s, values...)
}

func BenchmarkVaultHundredSecrets(b *testing.B) {
	s := vaultFake(b)
	vaultBenchmark(b, s, vaultHundred(s)...)
}

// vaultBenchmark resolves the values with a new Resolver each time, at a latency of
// 5 ms.
func vaultBenchmark(b *testing.B, s *fakevault.Server, values ...string) {
	s.Latency(5 * time.Millisecond)
	s.ResetCalls()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r := secretref.New(nil)
		if _, err := r.ResolveAll(b.Context(), values...); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(s.Calls())/float64(n), "calls/op")
}
