package secretref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func BenchmarkWarmResolve(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	_, err := r.Resolve(b.Context(), awsRef)
	require.NoError(b, err)
	b.Run("one core", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef) // as text that is read anew
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Resolve(ctx, value)
		}
	})
	b.Run("all cores", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = r.Resolve(ctx, value)
			}
		})
	})
}

func BenchmarkHandleValue(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	h, err := r.Handle(b.Context(), awsRef)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Value()
	}
}
