package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request to a path below /v1/. The path is not cleaned and no redirect is followed.
func (s *server) ask(t *testing.T, method, path, body, token string) answer {
	t.Helper()
	return s.askWith(t, nil, method, path, body, token)
}

// askWith is ask with further header fields.
func (s *server) askWith(t *testing.T, header http.Header,
	method, path, body, token string) answer {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/"+path, content)
	require.NoError(t, err)
	for name, values := range header {
		r.Header[name] = values
	}
	if token != "" {
		r.Header.Set("X-Vault-Token", token)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, text}
}

// must sends a request with the root token and returns the body. Unless it succeeds, the test
// fails.
func (s *server) must(t *testing.T, method, path, body string) []byte {
	t.Helper()
	a := s.ask(t, method, path, body, s.RootToken)
	require.Less(t, a.status, 300, "%s %s: %s", method, path, a.body)
	return a.body
}

// put writes a version of a secret of KV version 2.
func (s *server) put(t *testing.T, path, data string) {
	t.Helper()
	s.must(t, "POST", "secret/data/"+path, `{"data":`+data+`}`)
}

// mint writes a policy and returns a new token that has it.
func (s *server) mint(t *testing.T, name, policy string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"policy": policy})
	require.NoError(t, err)
	s.must(t, "PUT", "sys/policies/acl/"+name, string(text))
	return textAt(t, s.must(t, "POST", "auth/token/create", `{"policies":["`+name+`"],"ttl":"1h"}`),
		"auth.client_token")
}

// textAt returns the string at a path of member names with dots between them.
func textAt(t *testing.T, body []byte, path string) string {
	t.Helper()
	var at any
	require.NoError(t, json.Unmarshal(body, &at))
	for name := range strings.SplitSeq(path, ".") {
		members, ok := at.(map[string]any)
		require.True(t, ok, "no %s in %s", path, body)
		at = members[name]
	}
	require.IsType(t, "", at, "no %s in %s", path, body)
	return at.(string)
}

// decode decodes JSON without changing numbers. It returns other text as a string.
func decode(body []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return string(body)
	}
	return v
}
