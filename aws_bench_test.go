package secretref_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func BenchmarkAWSColdResolve(b *testing.B) {
	s := awsFake(b)
	s.PutSecret("eu-west-1", "db", "hunter2")
	b.ReportAllocs()
	for b.Loop() {
		r := secretref.New(nil)
		_, err := r.Resolve(b.Context(), awsDB(""))
		require.NoError(b, err)
		r.Close()
	}
}

func BenchmarkAWSHundredReferencesOneSecret(b *testing.B) {
	s := awsFake(b)
	s.PutSecret("eu-west-1", "db", `{"password":"hunter2"}`)
	refs := make([]string, 100)
	for i := range refs {
		refs[i] = awsDB("/password")
	}
	r := secretref.New(&secretref.Options{TTL: -1})
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		_, err := r.ResolveAll(b.Context(), refs...)
		require.NoError(b, err)
	}
}

// The latency is 5 ms. "open" uses existing connections.
func BenchmarkAWSHundredSecrets(b *testing.B) {
	for _, c := range []struct {
		name        string
		batch, cold bool
	}{{"open", false, false}, {"cold", false, true}, {"batch open", true, false},
		{"batch cold", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := awsFake(b)
			refs := awsHundred(s)
			s.Latency(5 * time.Millisecond)
			opts := &secretref.Options{TTL: -1, AWS: secretref.AWSOptions{Batch: c.batch}}
			r := secretref.New(opts)
			if !c.cold {
				_, err := r.ResolveAll(b.Context(), refs...)
				require.NoError(b, err)
			}
			s.ResetCalls()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				_, err := r.ResolveAll(b.Context(), refs...)
				require.NoError(b, err)
				if n++; c.cold {
					r.Close()
					r = secretref.New(opts)
				}
			}
			b.ReportMetric(float64(s.Calls())/float64(n), "calls/op")
			r.Close()
		})
	}
}
