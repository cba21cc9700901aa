package httpguard_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
)

func TestSanitizedCause(t *testing.T) {
	const secret = "hvs.c4nary"
	refused := &net.OpError{Op: "dial", Net: "tcp",
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	around := func(err error) error {
		return &url.Error{Op: "Put", URL: "https://v.example/" + secret,
			Err: fmt.Errorf("%s: %w", secret, err)}
	}
	for name, c := range map[string]struct {
		err  error
		is   error // nil if the cause is dropped
		text string
	}{
		"nothing":         {nil, nil, ""},
		"an answer":       {around(errors.New(`malformed HTTP response "` + secret + `"`)), nil, ""},
		"a record header": {around(tls.RecordHeaderError{Msg: secret}), nil, ""},
		"a proxy's words": {around(&net.OpError{Op: "proxyconnect", Net: "tcp",
			Err: errors.New(secret)}), nil, ""},
		"canceled": {around(context.Canceled), context.Canceled, "context canceled"},
		"deadline": {around(context.DeadlineExceeded), context.DeadlineExceeded,
			"context deadline exceeded"},
		"end":     {around(io.ErrUnexpectedEOF), io.ErrUnexpectedEOF, "unexpected EOF"},
		"refused": {around(refused), syscall.ECONNREFUSED, "connection refused"},
		"reset": {around(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}),
			syscall.ECONNRESET, "reset"},
		"timeout": {around(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}),
			os.ErrDeadlineExceeded, "timeout"},
		"no such host": {around(&net.DNSError{Err: "no such host", Name: "v.example",
			IsNotFound: true}), nil, "no such host"},
		"an alert": {around(&net.OpError{Op: "remote error", Err: tls.AlertError(40)}), nil,
			"handshake failure"},
		"a file": {around(&fs.PathError{Op: "open", Path: "/run/token",
			Err: syscall.ENOENT}), fs.ErrNotExist, "/run/token"},
		"a token, not a file": {around(&fs.PathError{Op: "open", Path: secret, Err: syscall.ENOENT}),
			fs.ErrNotExist, "no such file"},
		"a JWT, not a file": {around(&fs.PathError{Op: "stat", Path: "/eyJ" + secret,
			Err: syscall.ENAMETOOLONG}), syscall.ENAMETOOLONG, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := httpguard.SanitizedCause(c.err)
			if c.is != nil {
				require.ErrorIs(t, got, c.is)
			}
			if c.text != "" {
				require.ErrorContains(t, got, c.text)
			}
			if c.is == nil && c.text == "" {
				require.NoError(t, got)
			}
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				require.NotContains(t, fmt.Sprintf(verb, got), secret)
			}
		})
	}
}

func TestExplain_redaction(t *testing.T) {
	const secret = "c4nary"
	raw := fmt.Errorf(`malformed HTTP response "%s"`, secret)
	err := httpguard.Explain(&url.Error{Op: "Get", URL: "https://v.example", Err: raw}, "v.example")
	require.NotErrorIs(t, err, raw)
	_, held := errors.AsType[*url.Error](error(err))
	require.False(t, held)
}
