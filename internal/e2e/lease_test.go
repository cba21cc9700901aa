package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// eventually waits until a condition holds. The limit is no claim: it only ends a test that hangs.
func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(20 * time.Millisecond) {
		require.Less(t, time.Since(start), 2*time.Minute, message)
	}
}

// leased returns a token that can read all secrets, with these fields of auth/token/create.
func (s *server) leased(t *testing.T, fields string) string {
	t.Helper()
	s.mint(t, "reader", readAll)
	return textAt(t, s.must(t, "POST", "auth/token/create", `{"policies":["reader"],`+fields+`}`),
		"auth.client_token")
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// readUntilLogins reads without a pause until there were n logins, then checks that no read
// needed a token that had ended: each was replaced in time. ttl is that of the tokens.
func readUntilLogins(t *testing.T, front *counter, n int, ttl time.Duration, read func() error) {
	t.Helper()
	forbidden := front.forbidden()
	start := time.Now()
	for front.count("/login") < n && !t.Failed() {
		if !assert.Less(t, time.Since(start), 2*time.Minute, "the token is not replaced") {
			return
		}
		assert.NoError(t, read())
		time.Sleep(20 * time.Millisecond)
	}
	assert.Zero(t, forbidden.Load())
	atMost := 2 + int(time.Since(start)/(ttl/2))
	assert.LessOrEqual(t, front.count("/login"), atMost, "logins are reused")
}

// The TTL leaves three seconds to replace a token, however busy the machine is. Vault cannot renew
// batch tokens, which the fake does not support: it issues service tokens.
func TestLease_podLoginIsReplacedBeforeItEnds(t *testing.T) {
	const ttl = 9 * time.Second
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		pod := s.kubernetes(t, readAll, jwt(t, nil)).Vault
		for i, fields := range []string{
			`"token_ttl":"9s"`,
			`"token_ttl":"9s","token_max_ttl":"9s"`,
			`"token_ttl":"1h","token_explicit_max_ttl":"9s"`,
			`"token_period":"9s"`,
			`"token_ttl":"9s","token_type":"batch"`,
		} {
			opts := pod
			opts.Role = fmt.Sprint("app", i)
			s.must(t, "POST", "auth/clusters/one/role/"+opts.Role,
				`{"bound_service_account_names":["app-sa"],
				"bound_service_account_namespaces":["prod"],"audience":"vault","token_policies":["reader"],`+fields+`}`)
			t.Run(fields, func(t *testing.T) {
				t.Parallel()
				r := newResolver(t, &secretref.Options{Vault: opts})
				front := countCalls(t, s)
				readUntilLogins(t, front, 3, ttl, func() error {
					_, err := r.Resolve(t.Context(),
						reference(t, front.url, "secret", "app/db", "password", "KUBERNETES"))
					return err
				})
			})
		}
	})
}

func TestLease_revokedPodLoginIsReplacedOnce(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		r := newResolver(t, s.kubernetes(t, readAll, jwt(t, nil)))
		front := countCalls(t, s)
		var values []string
		for i := range 100 {
			path := fmt.Sprint("app/", i)
			s.put(t, path, `{"password":"x"}`)
			values = append(values, reference(t, front.url, "secret", path, "password", "KUBERNETES"))
		}
		_, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		require.Equal(t, 1, front.takeCount("/login"))
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+front.lastToken()+`"}`)
		_, err = r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		require.Equal(t, 1, front.takeCount("/login"))
	})
}

// When the cluster begins to refuse logins, the token of the last one is used until it ends.
func TestLease_podLoginIsUsedUntilItEnds(t *testing.T) {
	const ttl = 8 * time.Second
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		opts := s.kubernetes(t, readAll, jwt(t, nil))
		s.must(t, "POST", "auth/clusters/one/role/app", `{"token_ttl":"8s"}`)
		var log journal
		opts.Logger = log.logger()
		r := newResolver(t, opts)
		value := reference(t, s.URL, "secret", "app/db", "password", "KUBERNETES")
		start := time.Now()
		_, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(opts.Vault.JWTPath, []byte(forged(jwt(t, nil))), 0o600))

		eventually(t, func() bool {
			_, err = r.Resolve(t.Context(), value)
			return err != nil
		}, "the token does not end")
		s.refused(t, err, secretref.ErrUnauthenticated, "auth/clusters/one", jwt(t, nil))
		// The library gives a token up a little before its end.
		require.Greater(t, time.Since(start), ttl*3/4, "the token was given up before its end")
		require.Contains(t, log.String(), "the old token is used until it expires")
		require.NotContains(t, log.String(), jwt(t, nil)[:100])
	})
}

// Each token that is renewed has a twin that is not.
func TestLease_tokenIsRenewed(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		for _, fields := range []string{`"ttl":"9s"`, `"period":"9s"`} {
			renewed, twin := s.use(t, fields, true), s.use(t, fields, false)
			t.Run(fields, func(t *testing.T) {
				t.Parallel()
				var err error
				eventually(t, func() bool { err = twin.read(t); return err != nil }, "the twin does not end")
				require.ErrorIs(t, err, secretref.ErrUnauthenticated)
				require.Zero(t, twin.front.count("-self"))
				require.NotContains(t, twin.log.String(), "level=WARN")

				require.NoError(t, renewed.read(t))
				require.NotZero(t, renewed.front.count("/renew-self"))
				require.NotContains(t, renewed.log.String(), "level=WARN")
			})
		}
	})
}

// These tokens end although they should be renewed.
func TestLease_endOfTokenIsAnnounced(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		capped := s.use(t, `"ttl":"9s","explicit_max_ttl":"15s"`, true)
		fixed := s.use(t, `"ttl":"9s","renewable":false`, true)
		for _, u := range []*usage{capped, fixed} {
			const ended = "the vault token has expired"
			eventually(t, func() bool { return strings.Contains(u.log.String(), ended) }, ended)
			for _, line := range []string{"the vault token expires within an hour", ended} {
				require.Equal(t, 1, strings.Count(u.log.String(), line), u.log.String())
			}
			require.NotContains(t, u.log.String(), "within a day")
		}
		require.Contains(t, capped.log.String(), "its max TTL is reached")
		require.Contains(t, fixed.log.String(), "it is not renewable")
		require.NotZero(t, capped.front.count("/renew-self"))
		require.Zero(t, fixed.front.count("/renew-self"))
	})
}

// usage is a Resolver that has read once with a token of its own.
type usage struct {
	*secretref.Resolver
	front *counter
	log   journal
}

func (s *server) use(t *testing.T, fields string, renew bool) *usage {
	t.Helper()
	token := s.leased(t, fields)
	u := &usage{front: countCalls(t, s)}
	u.Resolver = newResolver(t,
		&secretref.Options{Logger: u.log.logger(), Vault: secretref.VaultOptions{
			Token: func(context.Context) (string, error) { return token, nil }, RenewToken: renew,
		}})
	require.NoError(t, u.read(t))
	t.Cleanup(func() { assert.NotContains(t, u.log.String(), token) })
	return u
}

func (u *usage) read(t *testing.T) error {
	t.Helper()
	_, err := u.Resolve(t.Context(), reference(t, u.front.url, "secret", "app/db", "password", ""))
	return err
}

func TestLease_tokenThatMayNotLookItselfUp(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		u := s.use(t, `"ttl":"1h","no_default_policy":true`, true)
		eventually(t, func() bool { return u.front.count("/lookup-self") > 0 }, "no lookup")
		for range 2 {
			require.NoError(t, u.read(t))
			time.Sleep(300 * time.Millisecond) // time for a second lookup, if there is one
		}
		const read = "GET /v1/secret/data/app/db"
		require.ElementsMatch(t, []string{read, "GET /v1/auth/token/lookup-self", read, read},
			u.front.take())
		eventually(t, func() bool {
			return strings.Contains(u.log.String(), `path \"auth/token/lookup-self\" { capabilities`)
		}, "the missing policy is not logged")
		require.NotContains(t, u.log.String(), "level=WARN")
		require.NotContains(t, u.log.String(), "level=INFO")
	})
}

func TestLease_closeEndsWatches(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		opts := s.kubernetes(t, readAll, jwt(t, nil))
		opts.TTL = -1
		opts.Vault.RenewToken = true
		token := s.leased(t, `"period":"3s"`)
		opts.Vault.Token = func(context.Context) (string, error) { return token, nil }
		r := secretref.New(opts)
		for _, auth := range []string{"TOKEN", "KUBERNETES"} {
			_, err := r.Resolve(t.Context(), reference(t, s.URL, "secret", "app/db", "password", auth))
			require.NoError(t, err)
		}
		eventually(t, func() bool { return strings.Contains(goroutines(t), "/vaultkv.(*watcher).run") },
			"no watch")
		require.NoError(t, r.Close())
		require.NotContains(t, goroutines(t), "/vaultkv.")
	})
}

// goroutines returns the stacks of all goroutines.
func goroutines(t *testing.T) string {
	t.Helper()
	var stacks bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&stacks, 2))
	return stacks.String()
}

// TestFakeVault_leases renews tokens of all kinds and compares the answers.
func TestFakeVault_leases(t *testing.T) {
	script := []exchange{
		{method: "PUT", path: "sys/policies/acl/reader",
			body: `{"policy":"path \"secret/data/app\" { capabilities = [\"read\"] }"}`, token: "$root",
			status: 204},
		{method: "POST", path: "sys/auth/clusters/one", body: `{"type":"kubernetes"}`, token: "$root",
			status: 204},
		{method: "POST", path: "auth/clusters/one/config", body: "$cluster", token: "$root", status: 204},
	}
	for i, fields := range []string{
		`"ttl":"1h"`,
		`"period":"1h"`,
		`"ttl":"1h","explicit_max_ttl":"1h"`,
		`"ttl":"1h","explicit_max_ttl":"2h"`,
		`"ttl":"2h","explicit_max_ttl":"1h"`,
		`"period":"2h","explicit_max_ttl":"1h"`,
		`"ttl":"1h","renewable":false`,
		`"ttl":"1h","no_default_policy":true`,
		`"ttl":"1h","num_uses":9`,
	} {
		name := fmt.Sprint("token", i)
		status := 200
		switch {
		case strings.Contains(fields, "renewable"):
			status = 400
		case strings.Contains(fields, "no_default_policy"):
			status = 403
		}
		lookup := 200
		if status == 403 {
			lookup = 403
		}
		script = append(script,
			exchange{method: "POST", path: "auth/token/create",
				body: `{"policies":["reader"],` + fields + `}`, token: "$root", status: 200,
				save: name + "=auth.client_token"},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: lookup},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`,
				token: "$" + name, status: status},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`,
				token: "$" + name, status: status},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: lookup},
		)
	}
	for i, fields := range []string{
		`"token_ttl":"1h"`,
		`"token_ttl":"1h","token_max_ttl":"1h"`,
		`"token_ttl":"2h","token_max_ttl":"3h"`,
		`"token_ttl":"2h","token_explicit_max_ttl":"1h"`,
		`"token_period":"1h"`,
		`"token_period":"2h","token_explicit_max_ttl":"1h"`,
		`"token_num_uses":5`,
	} {
		name, role := fmt.Sprint("pod", i), fmt.Sprint("role", i)
		script = append(script,
			exchange{method: "POST", path: "auth/clusters/one/role/" + role,
				body: `{"bound_service_account_names":["app-sa"],
				"bound_service_account_namespaces":["prod"],"audience":"vault","token_policies":["reader"],` + fields + `}`, token: "$root", status: 204},
			exchange{method: "PUT", path: "auth/clusters/one/login",
				body: `{"role":"` + role + `","jwt":"$jwt"}`, status: 200, save: name + "=auth.client_token"},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: 200},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`,
				token: "$" + name, status: 200},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: 200},
		)
	}
	play(t, startVault(t), startFake(t),
		map[string]string{"cluster": startCluster(t).config(t), "jwt": jwt(t, nil)}, script)
}
