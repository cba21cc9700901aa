package vaultkv_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// jwtFile writes a service account token to a file.
func jwtFile(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestLogin_refused(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.e30." + canary
	refusal := func(texts ...string) string {
		return `{"errors":["` +
			strings.Join(texts, `","`) + `"]}`
	}
	for name, c := range map[string]struct {
		status int
		body   string
		jwt    string
		kind   error
		words  string
	}{
		"wrong namespace": {403, refusal("namespace not authorized"), jwt, fault.Unauthenticated,
			"(bound_service_account_namespaces)"},
		"wrong account": {403, refusal("service account name not authorized"), jwt,
			fault.Unauthenticated, "(bound_service_account_names)"},
		"refused by TokenReview": {403, refusal("permission denied"), jwt, fault.Unauthenticated,
			"that the cluster accepts the pod's token"},
		"not a JWT": {403, refusal("permission denied"), canary, fault.Unauthenticated,
			"does not contain a JWT"},
		"no such role": {400, refusal(`invalid role name \"app\"`), jwt, fault.Unauthenticated,
			`no role "app" at auth/kubernetes: check ` + vaultkv.RoleVariable},
		"audience": {403,
			refusal("invalid audience (aud) claim: audience claim does not match any expected audience"),
			jwt, fault.Unauthenticated, "audience"},
		"expired": {403, refusal("invalid expiration time (exp) claim: token is expired"),
			jwt, fault.Unauthenticated,
			"has expired: check the clocks, and that " + vaultkv.JWTPathVariable},
		"from the future": {403, refusal("invalid not before (nbf) claim: token not yet valid"),
			jwt, fault.Unauthenticated, "check the clocks"},
		"not configured": {500, refusal("could not load backend configuration"), jwt,
			fault.Unauthenticated, "auth/kubernetes/config"},
		"unknown":  {405, refusal(canary), jwt, fault.Unauthenticated, "status 405"},
		"no token": {200, `{"auth":null}`, jwt, fault.Unauthenticated, "returned no token"},
		"an empty token": {200, `{"auth":{"client_token":""}}`, jwt, fault.Unauthenticated,
			"returned no token"},
		"a token in two lines": {200, `{"auth":{"client_token":"` + canary + `\r\nX: y"}}`, jwt,
			fault.Unauthenticated, "returned no token"},
		"nothing":           {200, ``, jwt, fault.Unavailable, "not in Vault's JSON"},
		"no content":        {204, ``, jwt, fault.Unavailable, "not in Vault's JSON"},
		"other JSON":        {200, `[1]`, jwt, fault.Unauthenticated, "returned no token"},
		"a login page":      {200, "<html>" + canary, jwt, fault.Unavailable, "a login page"},
		"a firewall's page": {403, "<html>" + canary, jwt, fault.Unavailable, "a login page"},
		"a 404 page":        {404, "<html>" + canary, jwt, fault.Unavailable, "a login page"},
		"an empty 404":      {404, "", jwt, fault.Unavailable, "a login page"},
		"a see-other":       {303, "<html>" + canary, jwt, fault.Unavailable, "status 303"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, c.jwt)},
				time.Minute, nil)
			_, err := r.get(t, s.URL, ref.KubernetesAuth)
			require.ErrorIs(t, err, c.kind)
			require.Contains(t, err.Error(), c.words)
			require.EqualValues(t, 1, calls.Load(), "the failure is permanent")
		})
	}
}

func TestLogin_settings(t *testing.T) {
	for _, name := range []string{vaultkv.RoleVariable, vaultkv.AuthPathVariable,
		vaultkv.JWTPathVariable} {
		t.Setenv(name, "")
	}
	jwt := "eyJ" + canary + ".e30.sig"
	dir := t.TempDir()
	for name, c := range map[string]struct {
		settings vaultkv.Settings
		words    string
	}{
		"no role": {vaultkv.Settings{},
			"set " + vaultkv.RoleVariable + " (container entrypoints"},
		"a blank role": {vaultkv.Settings{Role: " \n"}, "set " + vaultkv.RoleVariable},
		"a path with a parent": {vaultkv.Settings{Role: "app", AuthPath: "../sys"},
			vaultkv.AuthPathVariable + ") is not the path"},
		"a path with an empty segment": {vaultkv.Settings{Role: "app", AuthPath: "a//b"},
			vaultkv.AuthPathVariable},
		"only slashes": {vaultkv.Settings{Role: "app", AuthPath: "//"}, vaultkv.AuthPathVariable},
		"no file": {vaultkv.Settings{Role: "app", JWTPath: filepath.Join(dir, "none")},
			"none does not exist: set " + vaultkv.JWTPathVariable},
		"a directory":   {vaultkv.Settings{Role: "app", JWTPath: dir}, "is not a file"},
		"an empty file": {vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, " \n")}, "is empty"},
		"a huge file": {vaultkv.Settings{Role: "app",
			JWTPath: jwtFile(t, strings.Repeat("x", 64<<10+1))}, "is larger than 64 KiB"},
		"a file below a file": {vaultkv.Settings{Role: "app",
			JWTPath: filepath.Join(jwtFile(t, "x"), "y")}, "cannot be read"},
		"the token itself": {vaultkv.Settings{Role: "app", JWTPath: jwt},
			vaultkv.JWTPathVariable + " contains a token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
			_, err := newResolver(t, c.settings, time.Minute, nil).get(t, s.URL, ref.KubernetesAuth)
			require.ErrorIs(t, err, fault.Unauthenticated)
			require.Contains(t, err.Error(), c.words)
		})
	}
}

// podServer is a Vault that issues a token for each login, accepts only the latest, and
// records the logins.
type podServer struct {
	mu     sync.Mutex
	jwts   []string
	lease  int
	refuse bool // forgets that one too
	reads  int
}

func (p *podServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/login") {
		body, _ := io.ReadAll(r.Body)
		p.jwts = append(p.jwts, string(body))
		fmt.Fprintf(w, `{"auth":{"client_token":"t%d","lease_duration":%d}}`, len(p.jwts), p.lease)
		return
	}
	p.reads++
	if p.refuse || r.Header.Get("X-Vault-Token") != fmt.Sprintf("t%d", len(p.jwts)) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["permission denied","invalid token"]}`)
		return
	}
	_, _ = io.WriteString(w, good)
}

func TestLogin_readsFile(t *testing.T) {
	p := &podServer{}
	s := serve(t, p.ServeHTTP)
	file := jwtFile(t, "one\n")
	r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: file}, time.Minute, nil)
	for range 3 {
		_, err := r.get(t, s.URL, ref.KubernetesAuth)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(file, []byte("two\n"), 0o600))
	p.refuse = true
	_, err := r.get(t, s.URL, ref.KubernetesAuth)
	require.ErrorIs(t, err, fault.Unauthenticated)
	require.Contains(t, err.Error(), "token of a new login")
	require.Equal(t, []string{`{"jwt":"one","role":"app"}`, `{"jwt":"two","role":"app"}`}, p.jwts)
}

func TestLogin_transientFailure(t *testing.T) {
	var logins atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/login"):
			_, _ = io.WriteString(w, good)
		case logins.Add(1) < 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, `{"auth":{"client_token":"t"}}`)
		}
	})
	r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "x")}, time.Minute, nil)
	var readers sync.WaitGroup
	for i := range 100 {
		readers.Go(func() {
			_, err := r.read(t,
				ref.Target{Kind: ref.Vault, Mount: "secret", Path: fmt.Sprint(i), Endpoint: s.URL,
					Auth: ref.KubernetesAuth})
			assert.NoError(t, err)
		})
	}
	readers.Wait()
	require.EqualValues(t, 3, logins.Load())
}
