package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// count returns how many calls to paths that end so there were, and forgets all.
func (c *counter) count(end string) int {
	n := 0
	for _, call := range c.take() {
		if strings.HasSuffix(call, end) {
			n++
		}
	}
	return n
}

// refusals counts the answers with status 403 from now on.
func (c *counter) refusals() *atomic.Int32 {
	var n atomic.Int32
	c.answer = func(resp *http.Response) error {
		if resp.StatusCode == http.StatusForbidden {
			n.Add(1)
		}
		return nil
	}
	return &n
}

// leased returns a token that may read, and is otherwise as the fields say.
func (s *server) leased(t *testing.T, fields string) string {
	t.Helper()
	s.mint(t, "reader", readAll)
	return textAt(t, s.must(t, "POST", "auth/token/create", `{"policies":["reader"],`+fields+`}`), "auth.client_token")
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

// TestLeaseOfAPodIsReplacedWhileItIsRead reads without a pause over several
// lives of a token. Batch tokens, which no one can renew, the fake does not have:
// it gives out others.
func TestLeaseOfAPodIsReplacedWhileItIsRead(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		pod := s.kubernetes(t, readAll, jwt(t, nil)).Vault
		var readers sync.WaitGroup
		for i, fields := range []string{
			`"token_ttl":"3s"`,
			`"token_ttl":"3s","token_max_ttl":"3s"`,
			`"token_ttl":"1h","token_explicit_max_ttl":"3s"`,
			`"token_period":"3s"`,
			`"token_ttl":"3s","token_type":"batch"`,
		} {
			pod.Role = fmt.Sprint("app", i)
			s.must(t, "POST", "auth/clusters/one/role/"+pod.Role, `{"bound_service_account_names":["app-sa"],
				"bound_service_account_namespaces":["prod"],"audience":"vault","token_policies":["reader"],`+fields+`}`)
			r := newResolver(t, &secretref.Options{Vault: pod})
			front := countCalls(t, s)
			refusals := front.refusals()
			readers.Go(func() {
				for start := time.Now(); time.Since(start) < 7*time.Second; time.Sleep(20 * time.Millisecond) {
					_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", "app/db", "password", "KUBERNETES"))
					assert.NoError(t, err, fields)
				}
				assert.Zero(t, refusals.Load(), fields)
				assert.InDelta(t, 4, front.count("/login"), 1, fields)
			})
		}
		readers.Wait()
	})
}

func TestLeaseOfAPodThatIsRevokedIsReplacedOnce(t *testing.T) {
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
		require.Equal(t, 1, front.count("/login"))
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+front.lastToken()+`"}`)
		_, err = r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		require.Equal(t, 1, front.count("/login"))
	})
}

// A login that the cluster refuses, from some time on, does not end the token
// before.
func TestLeaseOfAPodOutlivesItsWelcome(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		opts := s.kubernetes(t, readAll, jwt(t, nil))
		s.must(t, "POST", "auth/clusters/one/role/app", `{"token_ttl":"4s"}`)
		var log journal
		opts.Logger = log.logger()
		r := newResolver(t, opts)
		value := reference(t, s.URL, "secret", "app/db", "password", "KUBERNETES")
		_, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(opts.Vault.JWTPath, []byte(forged(jwt(t, nil))), 0o600))
		for start := time.Now(); time.Since(start) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
			_, err := r.Resolve(t.Context(), value)
			require.NoError(t, err)
		}
		require.Contains(t, log.String(), "the old one is used on until it ends")
		require.NotContains(t, log.String(), jwt(t, nil)[:100])
		time.Sleep(time.Second)
		_, err = r.Resolve(t.Context(), value)
		s.refused(t, err, secretref.ErrUnauthenticated, "auth/clusters/one", jwt(t, nil))
	})
}

// TestLeaseOfATokenIsRenewed keeps tokens alive whose twins die.
func TestLeaseOfATokenIsRenewed(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		var watched sync.WaitGroup
		for _, fields := range []string{`"ttl":"3s"`, `"period":"3s"`} {
			for _, renew := range []bool{false, true} {
				u := s.use(t, fields, renew)
				watched.Go(func() {
					time.Sleep(10 * time.Second)
					_, err := u.Resolve(t.Context(), reference(t, u.front.url, "secret", "app/db", "password", ""))
					if renew {
						assert.NoError(t, err, fields)
						assert.InDelta(t, 5, u.front.count("/renew-self"), 2)
					} else {
						assert.ErrorIs(t, err, secretref.ErrUnauthenticated, fields)
						assert.Zero(t, u.front.count("-self"))
					}
					assert.NotContains(t, u.log.String(), "level=WARN")
				})
			}
		}
		watched.Wait()
	})
}

// TestLeaseOfATokenThatCannotGoOnIsAnnounced has tokens that end although they
// should be renewed.
func TestLeaseOfATokenThatCannotGoOnIsAnnounced(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		capped := s.use(t, `"ttl":"3s","explicit_max_ttl":"5s"`, true)
		fixed := s.use(t, `"ttl":"4s","renewable":false`, true)
		time.Sleep(7 * time.Second)
		for _, u := range []*usage{capped, fixed} {
			for _, line := range []string{"the vault token ends within an hour", "the vault token has ended"} {
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

// usage is a token that has been used once.
type usage struct {
	*secretref.Resolver
	front *counter
	log   journal
}

func (s *server) use(t *testing.T, fields string, renew bool) *usage {
	t.Helper()
	token := s.leased(t, fields)
	u := &usage{front: countCalls(t, s)}
	u.Resolver = newResolver(t, &secretref.Options{Logger: u.log.logger(), Vault: secretref.VaultOptions{
		Token: func(context.Context) (string, error) { return token, nil }, RenewToken: renew,
	}})
	_, err := u.Resolve(t.Context(), reference(t, u.front.url, "secret", "app/db", "password", ""))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NotContains(t, u.log.String(), token) })
	return u
}

func TestLeaseOfATokenThatMayNotLookItselfUpIsLeftAlone(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		u := s.use(t, `"ttl":"1h","no_default_policy":true`, true)
		for range 2 {
			time.Sleep(300 * time.Millisecond)
			_, err := u.Resolve(t.Context(), reference(t, u.front.url, "secret", "app/db", "password", ""))
			require.NoError(t, err)
		}
		const read = "GET /v1/secret/data/app/db"
		require.ElementsMatch(t, []string{read, "GET /v1/auth/token/lookup-self", read, read}, u.front.take())
		require.Contains(t, u.log.String(), `path \"auth/token/lookup-self\" { capabilities`)
		require.NotContains(t, u.log.String(), "level=WARN")
		require.NotContains(t, u.log.String(), "level=INFO")
	})
}

func TestLeaseWatchesEndWithClose(t *testing.T) {
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
		require.Contains(t, goroutines(t), "vaultkv.(*watcher).run")
		require.NoError(t, r.Close())
		require.NotContains(t, goroutines(t), "internal/vaultkv")
	})
}

// goroutines returns the stacks of all.
func goroutines(t *testing.T) string {
	t.Helper()
	var stacks bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&stacks, 2))
	return stacks.String()
}

// TestLeasesOfTheFakeAreThoseOfVault renews tokens of all kinds, and compares
// the answers.
func TestLeasesOfTheFakeAreThoseOfVault(t *testing.T) {
	script := []exchange{
		{method: "PUT", path: "sys/policies/acl/reader", body: `{"policy":"path \"secret/data/app\" { capabilities = [\"read\"] }"}`, token: "$root", status: 204},
		{method: "POST", path: "sys/auth/clusters/one", body: `{"type":"kubernetes"}`, token: "$root", status: 204},
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
			exchange{method: "POST", path: "auth/token/create", body: `{"policies":["reader"],` + fields + `}`, token: "$root", status: 200, save: name + "=auth.client_token"},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: lookup},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`, token: "$" + name, status: status},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`, token: "$" + name, status: status},
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
			exchange{method: "POST", path: "auth/clusters/one/role/" + role, body: `{"bound_service_account_names":["app-sa"],
				"bound_service_account_namespaces":["prod"],"audience":"vault","token_policies":["reader"],` + fields + `}`, token: "$root", status: 204},
			exchange{method: "PUT", path: "auth/clusters/one/login", body: `{"role":"` + role + `","jwt":"$jwt"}`, status: 200, save: name + "=auth.client_token"},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: 200},
			exchange{method: "PUT", path: "auth/token/renew-self", body: `{"increment":0}`, token: "$" + name, status: 200},
			exchange{method: "GET", path: "auth/token/lookup-self", token: "$" + name, status: 200},
		)
	}
	play(t, startVault(t), startFake(t), map[string]string{"cluster": startCluster(t).config(t), "jwt": jwt(t, nil)}, script)
}
