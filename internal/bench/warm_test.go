package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/seed74218947/secretref"
)

// BenchmarkWarm reads one value from memory repeatedly.
func BenchmarkWarm(b *testing.B) {
	w := newWorld(b)
	refs := w.references(1, 1, inAWS)
	r := refs[0]
	for _, on := range []struct {
		name  string
		cores int
	}{{"1core", 1}, {"2cores", 2}} {
		b.Run(on.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(on.cores))
			for _, reader := range w.readers(b, r) {
				b.Run(reader.name, func(b *testing.B) {
					if _, err := reader.read(b.Context()); err != nil { // this read fetches
						b.Fatal(err)
					}
					w.reset()
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(p *testing.PB) {
						ctx := context.Background()
						want := r.want()
						for p.Next() {
							if got, err := reader.read(ctx); err != nil || got != want {
								b.Errorf("%q, %v", got, err)
								return
							}
						}
					})
					b.StopTimer()
					if n := w.calls(); n != 0 {
						b.Errorf("%d calls for a cached secret", n)
					}
				})
			}
		})
	}
}

type reader struct {
	name string
	read func(context.Context) (string, error)
}

// readers returns the ways to read one value from memory.
func (w *world) readers(b *testing.B, r reference) []reader {
	ctx := b.Context()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	resolver := secretref.New(nil)
	b.Cleanup(func() { _ = resolver.Close() })
	value := r.secretref()
	live, err := resolver.Watch(ctx, value)
	must(err)

	peer := func(tool contender) client {
		c, err := tool.open(w)
		must(err)
		b.Cleanup(c.close)
		return c
	}
	v := peer(valsPeer).(valsRuntime)
	valsCode := r.vals()
	s := peer(setecPeer).(setecStore)
	secret, err := s.LookupSecret(ctx, r.name())
	must(err)
	g := peer(gocloudPeer).(*gocloud)
	variable, err := g.open(ctx, r)
	must(err)
	_, err = latest(ctx, variable, r.key)
	must(err)
	var loaded atomic.Pointer[string]
	text := r.want()
	loaded.Store(&text)
	known := map[string]string{value: r.want()}

	return []reader{
		{"secretref-Resolve", func(ctx context.Context) (string, error) {
			s, err := resolver.Resolve(ctx, value)
			return s.Reveal(), err
		}},
		{"secretref-Live", func(context.Context) (string, error) { return live.Value().Reveal(), nil }},
		{"vals", func(context.Context) (string, error) { return v.Get(valsCode) }},
		{"setec-JSON", func(context.Context) (string, error) {
			var members map[string]any
			if err := json.Unmarshal(secret.Get(), &members); err != nil {
				return "", err
			}
			return member(members, r.key)
		}},
		{"gocloud", func(ctx context.Context) (string, error) { return latest(ctx, variable, r.key) }},
		// The bytes are the whole document, from which the member is still to be extracted.
		{"other-setec-Secret", func(context.Context) (string, error) {
			if len(secret.Get()) == 0 {
				return "", fmt.Errorf("the document is empty")
			}
			return r.want(), nil
		}},
		{"other-map-lookup", func(context.Context) (string, error) { return known[value], nil }},
		{"limit-atomic-load", func(context.Context) (string, error) { return *loaded.Load(), nil }},
	}
}
