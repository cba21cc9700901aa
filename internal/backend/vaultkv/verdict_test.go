package vaultkv_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Only Vault itself may make the last good value unusable: the secret is denied, not found
// or not authenticated. A response of a gateway, a proxy or a login page means unavailable.
func TestVerdict(t *testing.T) {
	const envelope = `"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"wrap_info":null,"auth":null`
	for name, c := range map[string]struct {
		status int
		body   string
		read   error // the error of a read
		login  error // the error of a login
	}{
		"missing path": {404, `{"errors":[]}`, fault.NotFound, fault.Unauthenticated},
		"no engine": {404,
			`{"errors":["no handler for route \"secret/data/db\". route entry not found."]}`, fault.NotFound,
			fault.Unauthenticated},
		"deleted version": {404,
			`{` + envelope +
				`,"data":{"data":null,"metadata":{"deletion_time":"2024-01-01T00:00:00Z","destroyed":false,"version":1}},"warnings":null}`, fault.NotFound, fault.Unauthenticated},
		"with a warning": {404, `{"errors":[],"warnings":["w"]}`, fault.NotFound,
			fault.Unauthenticated},
		"denied": {403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`,
			fault.Denied, fault.Unauthenticated},
		"unknown token": {403, `{"errors":["permission denied","invalid token"]}`,
			fault.Unauthenticated, fault.Unauthenticated},
		"no token": {400, `{"errors":["missing client token"]}`, fault.Unauthenticated,
			fault.Unauthenticated},
		"locked namespace": {403,
			`{"errors":["API access to this namespace has been locked by an administrator"]}`,
			fault.Unavailable, fault.Unauthenticated},

		"gateway's 404": {404, `{"message":"no route"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 403": {403, `{"message":"Forbidden"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 401": {401, `{"message":"Unauthorized"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 400": {400, `{"message":"bad request"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 405": {405, `{"message":"not allowed"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 451": {451, `{"error":"blocked"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's list of objects": {404, `{"errors":[{"status":404,"title":"Not Found"}]}`,
			fault.Unavailable, fault.Unavailable},
		"gateway's message and errors": {404, `{"message":"Not Found","errors":[]}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's words for 404": {404, `{"errors":["Not Found"]}`, fault.Unavailable,
			fault.Unauthenticated},
		"gateway's words for 403": {403, `{"errors":["Forbidden"]}`, fault.Unavailable,
			fault.Unauthenticated},
		"errors that are text": {403, `{"errors":"permission denied"}`, fault.Unavailable,
			fault.Unavailable},
		"errors that are null":  {404, `{"errors":null}`, fault.Unavailable, fault.Unavailable},
		"403 without a message": {403, `{"errors":[]}`, fault.Unavailable, fault.Unavailable},
		"an empty object":       {404, `{}`, fault.Unavailable, fault.Unavailable},
		"null":                  {404, `null`, fault.Unavailable, fault.Unavailable},
		"a list": {403, `["permission denied"]`, fault.Unavailable,
			fault.Unavailable},
		"a text": {403, `"permission denied"`, fault.Unavailable,
			fault.Unavailable},
		"empty 404": {404, ``, fault.Unavailable, fault.Unavailable},
		"empty 403": {403, ``, fault.Unavailable, fault.Unavailable},
		"empty 401": {401, ``, fault.Unavailable, fault.Unavailable},
		"page 404":  {404, `<html>404`, fault.Unavailable, fault.Unavailable},
		"page 403":  {403, `<html>403`, fault.Unavailable, fault.Unavailable},
		"page 401":  {401, `<html>401`, fault.Unavailable, fault.Unavailable},
		"proxy authentication": {407, `{"message":"proxy"}`, fault.Unavailable,
			fault.Unavailable},
		"gateway's 200":       {200, `{"status":"ok"}`, fault.Unavailable, fault.Unavailable},
		"gateway's empty 200": {200, `{}`, fault.Unavailable, fault.Unavailable},
		"gateway's data":      {200, `{"data":null}`, fault.Unavailable, fault.Unavailable},
		"gateway's data in data": {200, `{"data":{"data":null}}`, fault.Unavailable,
			fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "eyJ.e30.x")},
				time.Minute, nil)
			_, err := r.get(t, s.URL, ref.TokenAuth)
			require.ErrorIs(t, err, c.read)
			require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
			_, err = r.get(t, s.URL, ref.KubernetesAuth)
			require.ErrorIs(t, err, c.login)
			require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
		})
	}
}

func TestVerdict_redirects(t *testing.T) {
	for name, to := range map[string]string{
		"a standby's leader": "http://10.255.255.1:8200/v1/secret/data/db",
		"a maintenance page": "https://sorry.example.com/",
		"another scheme":     "ftp://vault.example/",
		"a page on the host": "/maintenance.html",
		"nowhere":            "",
		"not a web address":  "mailto:x",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/maintenance.html" {
					_, _ = io.WriteString(w, "<html>sorry")
					return
				}
				if to != "" {
					w.Header().Set("Location", to)
				}
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
			for _, auth := range []string{ref.TokenAuth, ref.KubernetesAuth} {
				r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "eyJ.e30.x")},
					time.Minute, nil)
				_, err := r.get(t, s.URL, auth)
				require.ErrorIs(t, err, fault.Unavailable, auth)
				require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
			}
		})
	}
}

// The errors name common mistakes.
func TestVerdict_mistakes(t *testing.T) {
	static := vaultkv.Settings{}
	agent := vaultkv.Settings{NoToken: true}
	pod := vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "eyJ.e30.x")}
	for name, c := range map[string]struct {
		settings vaultkv.Settings
		auth     string
		base     string
		status   int
		body     string
		kind     error
		words    string
	}{
		"response-wrapping token": {static, ref.TokenAuth, "", 403,
			`{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, fault.Denied,
			"response-wrapping token"},
		"used wrapping token": {static, ref.TokenAuth, "", 403,
			`{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`,
			fault.Unauthenticated, "response-wrapping token"},
		"control group": {static, ref.TokenAuth, "", 200,
			`{"request_id":"","data":null,"wrap_info":{"token":"` + canary + `","ttl":60}}`,
			fault.Unavailable, "a control group"},
		"wrapped login": {pod, ref.KubernetesAuth, "", 200,
			`{"auth":null,"wrap_info":{"token":"` + canary + `","ttl":60}}`, fault.Unauthenticated,
			"wrapped in another token"},
		"/v1 of an operator": {static, ref.TokenAuth, "/v1", 404,
			`{"errors":["no handler for route \"v1/secret/data/db\". route entry not found."]}`,
			fault.NotFound, "ends in /v1"},
		"/v1": {static, ref.TokenAuth, "/v1/", 403,
			`{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, fault.Denied, "ends in /v1"},
		"/v1 of a pod": {pod, ref.KubernetesAuth, "/v1", 403,
			`{"errors":["permission denied"]}`, fault.Unauthenticated, "ends in /v1"},
		"agent adds no token": {agent, ref.TokenAuth, "", 403, `{"errors":["permission denied"]}`,
			fault.Unauthenticated, "use_auto_auth_token"},
		"agent's token may not": {agent, ref.TokenAuth, "", 403,
			`{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, fault.Denied,
			`path "secret/data/db"`},
		"cluster unreachable": {pod, ref.KubernetesAuth, "", 403, `{"errors":["permission denied"]}`,
			fault.Unauthenticated, "Kubernetes API server"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			settings := c.settings
			if !settings.NoToken {
				settings.Token = func(context.Context) (string, error) { return token, nil }
			}
			_, err := newBackend(t, settings, time.Minute, nil).get(t,
				s.URL+strings.TrimSuffix(c.base, "/"), c.auth)
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.words)
		})
	}
}
