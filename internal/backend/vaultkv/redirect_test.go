package vaultkv_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestRedirect_anotherHost(t *testing.T) {
	for _, auth := range []string{ref.TokenAuth, ref.KubernetesAuth} {
		t.Run(auth, func(t *testing.T) {
			var seen []string
			other := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Vault-Token")+string(body))
				if strings.HasSuffix(r.URL.Path, "/login") {
					_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`","lease_duration":3600}}`)
					return
				}
				_, _ = io.WriteString(w, good)
			})
			front := serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			})
			get := func(allow func(*url.URL) error) (string, error) {
				seen = nil
				return newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "jwt")}, time.Minute,
					allow).get(t, front.URL, auth)
			}
			_, err := get(nil)
			require.ErrorIs(t, err, fault.Unavailable)
			require.Contains(t, err.Error(), "approve it with AllowEndpoint")
			require.Empty(t, seen)

			var checked []string
			_, err = get(func(u *url.URL) error {
				if checked = append(checked, u.String()); u.String() == front.URL {
					return nil
				}
				return io.ErrNoProgress
			})
			require.ErrorIs(t, err, fault.Unavailable)
			require.NotErrorIs(t, err, fault.Denied)
			require.ErrorIs(t, err, io.ErrNoProgress)
			require.ErrorContains(t, err, io.ErrNoProgress.Error())
			require.Empty(t, seen)
			path := "/v1/secret/data/db"
			if auth == ref.KubernetesAuth {
				path = "/v1/auth/kubernetes/login"
			}
			require.Equal(t, []string{front.URL, other.URL + path}, checked)

			got, err := get(func(*url.URL) error { return nil })
			require.NoError(t, err)
			require.Equal(t, "v", got)
			want := []string{"GET /v1/secret/data/db " + token}
			if auth == ref.KubernetesAuth {
				want = append([]string{`PUT /v1/auth/kubernetes/login {"jwt":"jwt","role":"app"}`}, want...)
			}
			require.Equal(t, want, seen, "the redirect is followed once")
		})
	}
}

func TestRedirect_sameHost(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1); {
		case strings.HasSuffix(r.URL.Path, "/active"):
			_, _ = io.WriteString(w, good)
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, r.URL.Path+"/active", http.StatusTemporaryRedirect)
		}
	})
	r := newResolver(t, vaultkv.Settings{}, time.Minute, nil)
	got, err := r.get(t, s.URL, ref.TokenAuth)
	require.NoError(t, err)
	require.Equal(t, "v", got)
	require.EqualValues(t, 2, calls.Load())
	_, err = r.get(t, s.URL+"/loop", ref.TokenAuth)
	require.ErrorIs(t, err, fault.Unavailable)
	require.Contains(t, err.Error(), "redirects more than")
	require.EqualValues(t, 2+4, calls.Load())
}
