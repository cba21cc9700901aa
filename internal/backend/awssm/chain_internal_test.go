package awssm

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// An attempt ends in time for another one.
func TestCredentials_timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		defer close(hangs)
		c := newChain(aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			<-hangs
			return aws.Credentials{}, context.Canceled
		})}, false, new(atomic.Bool))
		c.credentialSource = processSource
		start := time.Now()
		_, err := c.Retrieve(t.Context())
		require.Equal(t, credentialsTimeout, time.Since(start))
		why := explain(err, ref.Target{}, "host")
		require.ErrorIs(t, why, fault.Unavailable)
		require.ErrorContains(t, why, processSource+" does not answer")
		_, transient := fault.Transient(why)
		require.True(t, transient)
	})
}

// A metadata service that once returned credentials exists.
func TestCredentials_metadataAnswered(t *testing.T) {
	var answered atomic.Bool
	c := newChain(aws.Config{Credentials: aws.AnonymousCredentials{}}, false, &answered)
	c.credentialSource = metadataSource
	down := &chainError{c, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}}
	why := explain(down, ref.Target{}, "host")
	require.ErrorIs(t, why, fault.Unauthenticated)
	require.ErrorIs(t, why, fault.Unavailable)
	_, transient := fault.Transient(why)
	require.False(t, transient, "the error comes within seconds")

	answered.Store(true)
	why = explain(down, ref.Target{}, "host")
	require.NotErrorIs(t, why, fault.Unauthenticated)
	_, transient = fault.Transient(why)
	require.True(t, transient)
}

func TestCredentials_regionOfSTS(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-wset-1")
	c := newChain(aws.Config{Region: "eu-wset-1", Credentials: aws.AnonymousCredentials{}}, false,
		new(atomic.Bool))
	c.credentialSource = stsSource
	why := explain(&chainError{c,
		&net.OpError{Op: "dial",
			Err: &net.DNSError{Name: "sts.eu-wset-1.amazonaws.com", IsNotFound: true}}},
		ref.Target{}, "host")
	require.ErrorIs(t, why, fault.Unavailable)
	require.ErrorContains(t, why, `is the region "eu-wset-1", set by AWS_REGION, correct?`)
}
