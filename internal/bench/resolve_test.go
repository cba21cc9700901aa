package bench

import (
	"fmt"
	"testing"
)

var (
	inAWS = reference{region: "eu-west-1"}

	// allBackends are the backends of the mixed work.
	allBackends = []reference{
		{region: "eu-west-1"}, {region: "us-east-1"}, {region: "ap-southeast-2"},
		{server: 0}, {server: 1},
	}
)

// BenchmarkResolve resolves references of one backend from a cold start.
func BenchmarkResolve(b *testing.B) {
	w := newWorld(b)
	for _, backend := range []struct {
		name    string
		backend reference
		peers   []contender
		batch   bool
	}{
		{"aws", inAWS, []contender{bareClients, valsPeer, setecPeer, gocloudPeer}, true},
		{"vault", reference{server: 0}, []contender{bareClients, valsPeer, setecPeer}, false},
	} {
		b.Run(backend.name, func(b *testing.B) {
			sequentialTools := append([]contender{secretrefResolve}, backend.peers...)
			concurrentTools := append([]contender{secretrefResolve, secretrefResolveAll}, backend.peers...)
			if backend.batch {
				concurrentTools = append(concurrentTools, secretrefBatch, secretrefResolveAllBatch)
			}
			concurrentTools = append(concurrentTools, byHandClient, roundTripLimit)

			for _, work := range []struct {
				name     string
				n, share int
			}{
				{"1reference", 1, 1},
				{"100references-1secret", 100, 100},
				{"100secrets", 100, 1},
			} {
				b.Run(work.name, func(b *testing.B) {
					refs := w.references(work.n, work.share, backend.backend)
					b.Run(sequential.name, func(b *testing.B) {
						for _, tool := range sequentialTools {
							w.cold(b, tool, sequential, refs)
						}
						w.cold(b, roundTripLimit, goroutines, refs)
					})
					if work.n == 1 {
						return
					}
					b.Run(goroutines.name, func(b *testing.B) {
						for _, tool := range concurrentTools {
							w.cold(b, tool, goroutines, refs)
						}
					})
				})
			}
		})
	}
}

// BenchmarkMixed resolves increasing numbers of references to three regions of AWS and two
// Vaults, four references to a secret.
func BenchmarkMixed(b *testing.B) {
	w := newWorld(b)
	peers := []contender{bareClients, valsPeer, setecPeer}
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%dreferences", n), func(b *testing.B) {
			refs := w.references(n, 4, allBackends...)
			b.Run(sequential.name, func(b *testing.B) {
				for _, tool := range append([]contender{secretrefResolve}, peers...) {
					w.cold(b, tool, sequential, refs)
				}
				w.cold(b, roundTripLimit, goroutines, refs)
			})
			b.Run(goroutines.name, func(b *testing.B) {
				for _, tool := range append([]contender{secretrefResolve, secretrefResolveAll,
					secretrefResolveAllBatch, byHandClient, roundTripLimit}, peers...) {
					w.cold(b, tool, goroutines, refs)
				}
			})
		})
	}
}
