package bench

import (
	"fmt"
	"testing"
)

var (
	inAWS = reference{region: "eu-west-1"}

	// places are where the references of the mixed work are.
	places = []reference{
		{region: "eu-west-1"}, {region: "us-east-1"}, {region: "ap-southeast-2"},
		{server: 0}, {server: 1},
	}
)

// BenchmarkResolve resolves references of one backend from a cold start.
func BenchmarkResolve(b *testing.B) {
	w := newWorld(b)
	for _, backend := range []struct {
		name  string
		place reference
		peers []contender
		batch bool
	}{
		{"aws", inAWS, []contender{bareClients, valsPeer, setecPeer, gocloudPeer}, true},
		{"vault", reference{server: 0}, []contender{bareClients, valsPeer, setecPeer}, false},
	} {
		b.Run(backend.name, func(b *testing.B) {
			loop := append([]contender{secretrefSingle}, backend.peers...)
			side := append([]contender{secretrefSingle, secretrefAll}, backend.peers...)
			if backend.batch {
				side = append(side, secretrefBatch, secretrefAllBatch)
			}
			side = append(side, byHandClient, roundTripLimit)

			for _, work := range []struct {
				name     string
				n, share int
			}{
				{"1reference", 1, 1},
				{"100references-1secret", 100, 100},
				{"100secrets", 100, 1},
			} {
				b.Run(work.name, func(b *testing.B) {
					refs := w.references(work.n, work.share, backend.place)
					b.Run(sequential.name, func(b *testing.B) {
						for _, who := range loop {
							w.cold(b, who, sequential, refs)
						}
						w.cold(b, roundTripLimit, goroutines, refs)
					})
					if work.n == 1 {
						return
					}
					b.Run(goroutines.name, func(b *testing.B) {
						for _, who := range side {
							w.cold(b, who, goroutines, refs)
						}
					})
				})
			}
		})
	}
}

// BenchmarkMixed resolves ever more references over three regions of AWS and
// two Vaults, four references to a secret.
func BenchmarkMixed(b *testing.B) {
	w := newWorld(b)
	peers := []contender{bareClients, valsPeer, setecPeer}
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%dreferences", n), func(b *testing.B) {
			refs := w.references(n, 4, places...)
			b.Run(sequential.name, func(b *testing.B) {
				for _, who := range append([]contender{secretrefSingle}, peers...) {
					w.cold(b, who, sequential, refs)
				}
				w.cold(b, roundTripLimit, goroutines, refs)
			})
			b.Run(goroutines.name, func(b *testing.B) {
				for _, who := range append([]contender{secretrefSingle, secretrefAll, secretrefAllBatch, byHandClient, roundTripLimit}, peers...) {
					w.cold(b, who, goroutines, refs)
				}
			})
		})
	}
}
