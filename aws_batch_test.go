package secretref_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestAWSBatch(t *testing.T) {
	s := awsFake(t)
	refs := awsHundred(s)
	missing := secretref.AWSReference{Region: "eu-west-1", SecretID: "missing"}.String()
	elsewhere := secretref.AWSReference{Region: "us-east-1", SecretID: "db"}.String()
	s.PutSecret("us-east-1", "db", "elsewhere")
	opts := secretref.Options{TTL: 5 * time.Minute, AWS: secretref.AWSOptions{Batch: true}}
	right := func(got []secretref.Secret) {
		for i := range 100 {
			require.Equal(t, fmt.Sprint("value of secret-", i), got[i].Reveal())
		}
	}
	t.Run("together", func(t *testing.T) {
		s.ResetCalls()
		r, events := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		calls := s.Calls()
		require.Equal(t, 5, calls)
		require.Len(t, events(), 100, "each secret has an event")
		got, err = r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.Equal(t, calls, s.Calls())
	})
	t.Run("from 100 goroutines", func(t *testing.T) {
		s.ResetCalls()
		r, _ := awsResolver(t, opts)
		_, err := r.Resolve(t.Context(), elsewhere) // loads the configuration
		require.NoError(t, err)
		var callers sync.WaitGroup
		got := make([]secretref.Secret, 100)
		for i, ref := range refs {
			callers.Go(func() { got[i], _ = r.Resolve(t.Context(), ref) })
		}
		callers.Wait()
		right(got)
		require.LessOrEqual(t, s.Calls(), 20, "5 if all of them are queued before the first call")
	})
	t.Run("a missing secret fails alone", func(t *testing.T) {
		s.ResetCalls()
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), append([]string{missing, elsewhere}, refs...)...)
		require.ErrorIs(t, err, secretref.ErrNotFound)
		require.ErrorContains(t, err, "value 1")
		require.NotContains(t, err.Error(), "value 2")
		require.Equal(t, "elsewhere", got[1].Reveal())
		right(got[2:])
		require.Equal(t, 7, s.Calls(), "six batches of one region, and one call of the other")
	})
	t.Run("throttled", func(t *testing.T) {
		s.ResetCalls()
		s.Fail(5, 400, "ThrottlingException", nil)
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.LessOrEqual(t, s.Calls(), 105, "the secrets of a throttled batch are fetched one by one")
	})
	t.Run("denied", func(t *testing.T) {
		s.ResetCalls()
		s.Deny("secretsmanager:BatchGetSecretValue", "*")
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.LessOrEqual(t, s.Calls(), 110)
	})
}
