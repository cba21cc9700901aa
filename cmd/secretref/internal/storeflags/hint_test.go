package storeflags

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestKeyringHint(t *testing.T) {
	unavailable := func(cause error) error {
		return &secretref.Error{Source: "keyring",
			Err: fault.New(fault.Unavailable, "the text of the store").WithCause(cause)}
	}
	assert.Empty(t, KeyringHint(unavailable(syscall.ENOSPC)), "a full disk is not the network's")
	assert.Empty(t, KeyringHint(unavailable(nil)))
	for _, cause := range []error{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		&net.DNSError{Err: "no such host"}} {
		assert.Contains(t, KeyringHint(unavailable(cause)), "check host and port in -store")
	}
}
