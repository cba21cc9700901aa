package awssm

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestExplain_unknownHost(t *testing.T) {
	unknown := &net.OpError{Op: "dial", Net: "tcp",
		Err: &net.DNSError{Name: "secretsmanager.eu-wset-1.amazonaws.com", IsNotFound: true}}
	const host = "secretsmanager.eu-wset-1.amazonaws.com"
	err := explain(unknown, ref.Target{Region: "eu-wset-1"}, host)
	require.ErrorIs(t, err, fault.Unavailable)
	require.Contains(t, err.Error(), host+` does not resolve: is the region "eu-wset-1" correct?`)
	require.NotContains(t,
		explain(unknown, ref.Target{Region: "eu-wset-1", Endpoint: "https://x"}, "x").Error(), "region")
}

func TestPolicyResource(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1":     "arn:aws:secretsmanager:eu-west-1:*:secret:db-??????",
		"cn-north-1":    "arn:aws-cn:secretsmanager:cn-north-1:*:secret:db-??????",
		"us-gov-west-1": "arn:aws-us-gov:secretsmanager:us-gov-west-1:*:secret:db-??????",
	} {
		require.Equal(t, want, policyResource(ref.Target{Region: region, Secret: "db"}))
	}
}

func TestSafeCode(t *testing.T) {
	require.Equal(t, "ThrottlingException", safeCode("ThrottlingException"))
	require.Equal(t, "Client.Something2", safeCode("Client.Something2"))
	for _, code := range []string{"", "hunter2", "A b", "Ä", "A-b", "A\nb",
		"A" + string(make([]byte, 64))} {
		require.Equal(t, "unknown code", safeCode(code))
	}
}

// The cause of an error must not contain text of a request, of a response or a token.
func TestSanitizedCause(t *testing.T) {
	const canary = "c4nary-hunter2"
	jwt := "eyJhbGciOi." + canary
	for name, err := range map[string]error{
		"an API error": &smithy.GenericAPIError{Code: "AccessDenied " + canary, Message: canary},
		"a proxy's status": &net.OpError{Op: "proxyconnect", Net: "tcp",
			Err: errors.New("407 " + canary)},
		"a dial": &net.OpError{Op: "dial", Net: "tcp",
			Err: &net.DNSError{Err: canary, Name: "host", IsNotFound: true}},
		"a token for a path": &fs.PathError{Op: "open", Path: jwt, Err: syscall.ENOENT},
		"a path's error":     &fs.PathError{Op: "open", Path: "/run/token", Err: errors.New(canary)},
		"anything else":      errors.New(canary),
		"a process":          &processcreds.ProviderError{Err: errors.New("parse failed of process output: " + canary)},
	} {
		got := sanitizedCause(fmt.Errorf("%s: %w", canary, err))
		for ; got != nil; got = errors.Unwrap(got) {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", got, got, got), canary, name)
		}
	}
	lookup := sanitizedCause(&net.OpError{Op: "dial",
		Err: &net.DNSError{Name: "host", IsNotFound: true}})
	dns, ok := errors.AsType[*net.DNSError](lookup)
	require.True(t, ok)
	require.True(t, dns.IsNotFound)
	require.ErrorIs(t,
		sanitizedCause(&fs.PathError{Op: "open", Path: "/run/token", Err: syscall.ENOENT}),
		fs.ErrNotExist)
	require.ErrorIs(t,
		sanitizedCause(&net.OpError{Op: "read",
			Err: &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}}), syscall.ECONNRESET)
}

func TestErrorCode(t *testing.T) {
	numbered := func(more ...string) http.Header {
		h := http.Header{"X-Amzn-Requestid": {"1"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for _, c := range []struct {
		header http.Header
		body   string
		want   string
	}{
		{nil, `{"__type":"AccessDeniedException"}`, "AccessDeniedException"},
		{nil, `{"__type":"com.amazonaws#AccessDeniedException:http://x/"}`, "AccessDeniedException"},
		{nil, `{"__type":"NewException"}`, ""},
		{numbered(), `{"__type":"NewException"}`, "NewException"},
		{numbered(), `{"__Type":"AccessDeniedException"}`, ""},
		{numbered(), `{"code":"AccessDeniedException"}`, ""},
		{numbered(), `{"__type":7}`, ""},
		{numbered(), `"__type"`, ""},
		{numbered(), `null`, ""},
		{numbered(), ``, ""},
		{numbered("X-Amzn-Errortype", "AccessDeniedException"), ``, "AccessDeniedException"},
		{numbered("X-Amzn-Errortype", "AccessDeniedException"), `<html>`, ""},
		{numbered("X-Amzn-Errortype", "NewException"), `{}`, ""},
		{numbered("X-Amzn-Errortype", "AccessDeniedException", "Content-Type", "application/json"),
			`{}`, ""},
		{numbered("X-Amzn-Errortype", "AccessDeniedException", "Content-Type",
			"application/x-amz-json-1.1; charset=utf-8"), `{}`, "AccessDeniedException"},
		{http.Header{"X-Amzn-Errortype": {"AccessDeniedException"}}, `{}`, ""},
	} {
		require.Equal(t, c.want, errorCode(c.header, []byte(c.body)), "%v %s", c.header, c.body)
	}
}
