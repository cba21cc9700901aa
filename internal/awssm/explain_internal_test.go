package awssm

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestANameThatDoesNotResolveAsksForTheRegion(t *testing.T) {
	unknown := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "secretsmanager.eu-wset-1.amazonaws.com", IsNotFound: true}}
	const host = "secretsmanager.eu-wset-1.amazonaws.com"
	err := explain(unknown, coord.Group{Region: "eu-wset-1"}, host)
	require.ErrorIs(t, err, fault.Unavailable)
	require.Contains(t, err.Error(), host+` does not resolve: is the region "eu-wset-1" right?`)
	require.NotContains(t, explain(unknown, coord.Group{Region: "eu-wset-1", Endpoint: "https://x"}, "x").Error(), "region")
}

func TestAPolicyNamesItsResourceInThePartitionOfTheRegion(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1":     "arn:aws:secretsmanager:eu-west-1:*:secret:db-??????",
		"cn-north-1":    "arn:aws-cn:secretsmanager:cn-north-1:*:secret:db-??????",
		"us-gov-west-1": "arn:aws-us-gov:secretsmanager:us-gov-west-1:*:secret:db-??????",
	} {
		require.Equal(t, want, resource(coord.Group{Region: region, Secret: "db"}))
	}
}

func TestACodeIsPrintedOnlyIfItLooksLikeOne(t *testing.T) {
	require.Equal(t, "ThrottlingException", printable("ThrottlingException"))
	require.Equal(t, "Client.Something2", printable("Client.Something2"))
	for _, code := range []string{"", "hunter2", "A b", "Ä", "A-b", "A\nb", "A" + string(make([]byte, 64))} {
		require.Equal(t, "unknown code", printable(code))
	}
}
