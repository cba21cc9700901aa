package secretref_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/fakevault"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// days is some days in the life of a service: secrets are rotated, tokens end
// or are revoked, and the backends are down for hours.
type days struct {
	t     *testing.T
	vault *fakevault.Server
	aws   *fakeaws.Server
	store *remote
	start time.Time

	mu       sync.Mutex
	replaced map[string][]time.Time // when each version of a secret was replaced
	down     []period               // of the backends
}

type period struct{ from, to time.Time }

const (
	simulatedTTL  = 5 * time.Minute
	vaultSecrets  = 50
	awsSecrets    = 30
	remoteSecrets = 20
)

// simulated returns how long the simulation lasts.
func simulated() time.Duration {
	if testing.Short() {
		return 6 * time.Hour
	}
	return 2 * 24 * time.Hour
}

// put writes the next version of a secret. Each value contains the name and the
// version of the secret.
func (d *days) put(name string) {
	d.mu.Lock()
	version := len(d.replaced[name])
	if version > 0 {
		d.replaced[name][version-1] = time.Now()
	}
	d.replaced[name] = append(d.replaced[name], time.Time{})
	d.mu.Unlock()
	value := func(key string) string { return fmt.Sprintf("%s %s %d", name, key, version) }
	if path, ok := strings.CutPrefix(name, "vault/"); ok {
		d.vault.Put("secret", path,
			map[string]any{"user": value("user"), "password": value("password"), "more": value("more")})
	} else if id, ok := strings.CutPrefix(name, "aws/"); ok {
		d.aws.PutSecret("eu-west-1", id, value("all"))
	} else {
		d.store.set(fmt.Sprintf(`{"storeId":%q}`, name), value("all"))
	}
}

// check checks that text is the value of a secret's key, and of a version that may
// still be used. It returns the version.
func (d *days) check(name, key, text string) string {
	part := strings.Fields(text)
	require.Len(d.t, part, 3)
	require.Equal(d.t, []string{name, key}, part[:2], "the value of another secret")
	version, err := strconv.Atoi(part[2])
	require.NoError(d.t, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	since := d.replaced[name][version]
	if since.IsZero() {
		return part[2]
	}
	// A stale value is used during an outage and during the pause after it.
	allowed := simulatedTTL + time.Minute
	if n := len(d.down); n > 0 &&
		(d.down[n-1].to.IsZero() || time.Since(d.down[n-1].to) < time.Minute+10*time.Second) {
		allowed = 24 * time.Hour
	}
	require.LessOrEqual(d.t, time.Since(since), allowed, "%s: a version that was replaced long ago",
		name)
	return part[2]
}

func (d *days) outage(length time.Duration) {
	d.mu.Lock()
	d.down = append(d.down, period{from: time.Now()})
	d.mu.Unlock()
	d.vault.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"errors":["Vault is sealed"]}`)
		return true
	})
	d.aws.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	d.store.fails(secretref.ErrUnavailable)
	time.Sleep(length)
	d.vault.Intercept(nil)
	d.aws.Intercept(nil)
	d.store.fails(nil)
	d.mu.Lock()
	d.down[len(d.down)-1].to = time.Now()
	d.mu.Unlock()
}

// root sends a request as Vault's administrator.
func (d *days) root(method, path, body string) {
	require.Less(d.t, d.do(d.vault.RootToken(), method, path, body), 300, "%s %s", method, path)
}

func (d *days) do(token, method, path, body string) (status int) {
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.vault.URL()+"/v1/"+path,
		strings.NewReader(body))
	require.NoError(d.t, err)
	r.Header.Set("X-Vault-Token", token)
	resp, err := d.vault.RoundTrip(r)
	require.NoError(d.t, err)
	return resp.StatusCode
}

// revoke revokes the token that was used last.
func (d *days) revoke() {
	requests := d.vault.Requests()
	for i := len(requests) - 1; i >= 0; i-- {
		if token := requests[i].Token; token != "" && token != d.vault.RootToken() {
			d.do(token, "POST", "auth/token/revoke-self", "")
			return
		}
	}
}

func simulate(t *testing.T, aws *fakeaws.Server) *days {
	d := &days{t: t, vault: fakevault.NewInProcess(), aws: aws, start: time.Now(),
		replaced: map[string][]time.Time{},
		store:    &remote{texts: map[string]string{}, takes: 10 * time.Millisecond}}
	d.vault.SetCluster(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w,
			`{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:app","uid":"1"}}}`)
	}))
	d.root("PUT", "sys/policies/acl/app",
		`{"policy":"path \"secret/data/*\" { capabilities = [\"read\"] }"}`)
	d.root("POST", "sys/auth/kubernetes", `{"type":"kubernetes"}`)
	d.root("POST", "auth/kubernetes/config", `{"kubernetes_host":"https://cluster.example"}`)
	d.root("POST", "auth/kubernetes/role/app",
		`{"bound_service_account_names":["app"],"bound_service_account_namespaces":["prod"],
		"token_policies":["app"],"token_ttl":"1h"}`)
	return d
}

// writeJWT writes an unsigned token of a service account.
func writeJWT(t *testing.T) string {
	encode := base64.RawURLEncoding.EncodeToString
	path := filepath.Join(t.TempDir(), "jwt")
	require.NoError(t, os.WriteFile(path, []byte(encode([]byte(`{"alg":"RS256"}`))+"."+
		encode([]byte(`{"kubernetes.io":{"namespace":"prod","serviceaccount":{"name":"app","uid":"1"}}}`))+".x"), 0o600))
	return path
}

func TestSimulation(t *testing.T) {
	jwt := writeJWT(t)
	amazon := awsFake(t)
	given := awsCallerConfig(amazon)
	given.HTTPClient = sender(amazon.RoundTrip)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		d := simulate(t, amazon)
		d.vault.Latency(5 * time.Millisecond)
		r := secretref.NewOver(d.vault, &secretref.Options{TTL: simulatedTTL,
			Vault: secretref.VaultOptions{Role: "app", JWTPath: jwt},
			AWS:   secretref.AWSOptions{Config: given, Batch: true},
			Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"},
				Fetch: d.store.fetch}}})
		type wanted struct{ value, name, key string }
		var refs []wanted
		for i := range vaultSecrets {
			name := fmt.Sprintf("vault/app-%d", i)
			for _, key := range []string{"user", "password", "more"} {
				refs = append(refs, wanted{secretref.VaultReference{Mount: "secret",
					Path: strings.TrimPrefix(name, "vault/"), Key: key,
					Endpoint: d.vault.URL(), AuthenticationType: secretref.VaultKubernetes}.String(), name, key})
			}
			d.put(name)
		}
		for i := range awsSecrets {
			name := fmt.Sprintf("aws/db-%d", i)
			refs = append(refs, wanted{secretref.AWSReference{Region: "eu-west-1",
				SecretID: strings.TrimPrefix(name, "aws/")}.String(), name, "all"})
			d.put(name)
		}
		for i := range remoteSecrets {
			name := fmt.Sprintf("store-%d", i)
			refs = append(refs, wanted{fmt.Sprintf(`{"storeId":%q}`, name), name, "all"})
			d.put(name)
		}
		require.Len(t, refs, 200)
		d.vault.ResetCalls()
		d.aws.ResetCalls()

		ctx, end := context.WithTimeout(t.Context(), simulated())
		defer end()
		for _, w := range refs { // before the first outage
			_, err := r.Resolve(ctx, w.value)
			require.NoError(t, err)
		}
		var all sync.WaitGroup
		var resolved, peak atomic.Int64
		for range 1000 {
			all.Go(func() {
				for ctx.Err() == nil {
					w := refs[rand.IntN(len(refs))]
					s, err := r.Resolve(ctx, w.value)
					if ctx.Err() != nil {
						return
					}
					require.NoError(t, err)
					d.check(w.name, w.key, s.Reveal())
					resolved.Add(1)
					sleep(ctx, rand.N(2*time.Hour))
				}
			})
		}
		for i := range 20 {
			user, password := refs[3*i], refs[3*i+1]
			h, err := r.WatchAll(ctx, user.value, password.value)
			require.NoError(t, err)
			all.Go(func() {
				for ctx.Err() == nil {
					s := h.Value()
					require.Equal(t, d.check(user.name, "user", s[0].Reveal()),
						d.check(password.name, "password", s[1].Reveal()))
					sleep(ctx, rand.N(10*time.Minute))
				}
			})
		}
		all.Go(func() { // rotations
			for ctx.Err() == nil {
				d.put(refs[rand.IntN(len(refs))].name)
				sleep(ctx, rand.N(4*time.Minute))
			}
		})
		all.Go(func() { // revocations of all logins
			for ctx.Err() == nil {
				sleep(ctx, rand.N(12*time.Hour))
				d.revoke()
			}
		})
		for ctx.Err() == nil { // outages
			sleep(ctx, rand.N(10*time.Hour))
			d.outage(rand.N(3 * time.Hour))
			peak.Store(max(peak.Load(), int64(runtime.NumGoroutine())))
		}
		all.Wait()
		require.NoError(t, r.Close())

		logins, reads := 0, 0
		for _, request := range d.vault.Requests() {
			switch {
			case strings.HasSuffix(request.Path, "/login"):
				logins++
			case strings.Contains(request.Path, "/data/"):
				reads++
			}
		}
		outages := time.Duration(0)
		for _, p := range d.down {
			outages += p.to.Sub(p.from)
		}
		t.Logf("%d values resolved, %d reads of Vault, %d logins, %d calls of AWS, %d fetches from the store, %v of outages, %d goroutines",
			resolved.Load(), reads, logins, d.aws.Calls(), d.store.called(), outages, peak.Load())
		periods := int(simulated() / (simulatedTTL * 4 / 5))
		tries := int(outages/(30*time.Second)) + 100*len(d.down)
		require.Less(t, reads, vaultSecrets*(periods+tries))
		require.Less(t, d.aws.Calls(), awsSecrets*(periods+tries))
		require.Less(t, d.store.called(), remoteSecrets*(periods+tries))
		require.Less(t, logins,
			// in an outage logins fail instead of reads
			int(simulated()/(30*time.Minute))+20+vaultSecrets*tries)
	})
}

// The cost of resolving does not depend on the machine: calls and round trips, by a
// clock that advances only with the latency of the servers.
func TestResolveCost(t *testing.T) {
	const latency = 5 * time.Millisecond
	amazon := awsFake(t)
	given := awsCallerConfig(amazon)
	given.HTTPClient = sender(func(r *http.Request) (*http.Response, error) {
		time.Sleep(latency)
		return amazon.RoundTrip(r)
	})
	jwt := writeJWT(t)
	regions := []string{"eu-west-1", "us-east-1", "ap-southeast-2"}
	references := func(d *days, secrets, share, places int, auth secretref.VaultAuth) (refs []string) {
		for i := range secrets * share {
			n := i / share // of the secret
			name, place := fmt.Sprint("app-", n), n%places
			if d == nil || place < len(regions) && places > 1 {
				amazon.PutSecret(regions[place], name, `{"password":"hunter2"}`)
				refs = append(refs, secretref.AWSReference{Region: regions[place], SecretID: name,
					SecretPointer: "/password"}.String())
				continue
			}
			d.vault.Put("secret", name, map[string]any{"password": "hunter2"})
			refs = append(refs, secretref.VaultReference{Mount: "secret", Path: name, Key: "password",
				Endpoint: fmt.Sprintf("https://vault-%d.example", place), AuthenticationType: auth}.String())
		}
		return refs
	}
	inproc.SkipWithoutRandom(t)
	for _, c := range []struct {
		name                   string
		vault                  bool
		secrets, share, places int
		auth                   secretref.VaultAuth
		batch                  bool
		calls, rounds          int
		alone                  [2]int // calls and rounds from a goroutine per reference; zero: the same
	}{
		{name: "AWS, one", secrets: 1, share: 1, places: 1, calls: 1, rounds: 1},
		{name: "AWS, one in a batch", secrets: 1, share: 1, places: 1, batch: true, calls: 1, rounds: 1},
		{name: "AWS, 100 into one", secrets: 1, share: 100, places: 1, calls: 1, rounds: 1},
		{name: "AWS, 100", secrets: 100, share: 1, places: 1, calls: 100, rounds: 2},
		{name: "AWS, 100 in batches", secrets: 100, share: 1, places: 1, batch: true, calls: 5, rounds: 1,
			alone: [2]int{13, 2}},
		{name: "AWS, 101 in batches", secrets: 101, share: 1, places: 1, batch: true, calls: 6, rounds: 1,
			alone: [2]int{13, 2}},
		{name: "AWS, 1000 in batches", secrets: 1000, share: 1, places: 1, batch: true, calls: 50,
			rounds: 7, alone: [2]int{58, 8}},
		{name: "Vault, one", vault: true, secrets: 1, share: 1, places: 1, calls: 1, rounds: 1},
		{name: "Vault, 100 into one", vault: true, secrets: 1, share: 100, places: 1, calls: 1,
			rounds: 1},
		{name: "Vault, 100", vault: true, secrets: 100, share: 1, places: 1, calls: 100, rounds: 2},
		{name: "Vault, 100 with a login", vault: true, secrets: 100, share: 1, places: 1,
			auth: secretref.VaultKubernetes, calls: 101, rounds: 3},
		{name: "both, 1000 into 250", vault: true, secrets: 250, share: 4, places: 5, calls: 250,
			rounds: 3},
		{name: "both, 1000 into 250 in batches", vault: true, secrets: 250, share: 4, places: 5,
			batch: true, calls: 109, rounds: 2, alone: [2]int{133, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d *days
				var vault http.RoundTripper
				opts := &secretref.Options{AWS: secretref.AWSOptions{Config: given, Batch: c.batch}}
				if c.vault {
					d = simulate(t, amazon)
					vault, opts.Vault = d.vault, secretref.VaultOptions{Role: "app", JWTPath: jwt,
						Token: func(context.Context) (string, error) { return d.vault.RootToken(), nil }}
					d.vault.Latency(latency)
				}
				refs := references(d, c.secrets, c.share, c.places, c.auth)
				costs := func(resolve func(*secretref.Resolver)) (calls int, took time.Duration) {
					r := secretref.NewOver(vault, opts)
					defer r.Close()
					amazon.ResetCalls()
					if c.vault {
						d.vault.ResetCalls()
					}
					start := time.Now()
					resolve(r)
					took = time.Since(start)
					resolve(r) // from memory
					require.Equal(t, took, time.Since(start))
					calls = amazon.Calls()
					if c.vault {
						calls += d.vault.Calls()
					}
					return calls, took
				}
				calls, took := costs(func(r *secretref.Resolver) {
					all, err := r.ResolveAll(t.Context(), refs...)
					require.NoError(t, err)
					for _, s := range all {
						require.Equal(t, "hunter2", s.Reveal())
					}
				})
				require.Equal(t, c.calls, calls)
				require.Equal(t, time.Duration(c.rounds)*latency, took)

				calls, took = costs(func(r *secretref.Resolver) {
					var all sync.WaitGroup
					for _, ref := range refs {
						all.Go(func() {
							s, err := r.Resolve(t.Context(), ref)
							require.NoError(t, err)
							require.Equal(t, "hunter2", s.Reveal())
						})
					}
					all.Wait()
				})
				if c.alone == [2]int{} {
					require.Equal(t, c.calls, calls, "from as many goroutines")
					require.Equal(t, time.Duration(c.rounds)*latency, took)
					return
				}
				require.LessOrEqual(t, calls, c.alone[0], "from as many goroutines")
				require.LessOrEqual(t, took, time.Duration(c.alone[1])*latency)
			})
		})
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
