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
	"github.com/seed74218947/secretref/internal/fakeaws"
	"github.com/seed74218947/secretref/internal/fakevault"
	"github.com/seed74218947/secretref/internal/unplugged"
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
	simulated     = 2 * 24 * time.Hour
	simulatedTTL  = 5 * time.Minute
	vaultSecrets  = 50
	awsSecrets    = 30
	remoteSecrets = 20
)

// put writes the next version of a secret. Every value in it tells of which
// secret and version it is.
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
		d.vault.Put("secret", path, map[string]any{"user": value("user"), "password": value("password"), "more": value("more")})
	} else if id, ok := strings.CutPrefix(name, "aws/"); ok {
		d.aws.PutSecret("eu-west-1", id, value("all"))
	} else {
		d.store.set(fmt.Sprintf(`{"storeId":%q}`, name), value("all"))
	}
}

// check proves that text is the value of a secret's key, and of a version that
// may be seen now. It returns the version.
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
	// A good value covers an outage, and the pause after its last attempt.
	allowed := simulatedTTL + time.Minute
	if n := len(d.down); n > 0 && (d.down[n-1].to.IsZero() || time.Since(d.down[n-1].to) < time.Minute+10*time.Second) {
		allowed = 24 * time.Hour
	}
	require.LessOrEqual(d.t, time.Since(since), allowed, "%s: a version that was replaced long ago", name)
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

// root does something as Vault's administrator.
func (d *days) root(method, path, body string) {
	require.Less(d.t, d.do(d.vault.RootToken(), method, path, body), 300, "%s %s", method, path)
}

func (d *days) do(token, method, path, body string) (status int) {
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.vault.URL()+"/v1/"+path, strings.NewReader(body))
	require.NoError(d.t, err)
	r.Header.Set("X-Vault-Token", token)
	resp, err := d.vault.RoundTrip(r)
	require.NoError(d.t, err)
	return resp.StatusCode
}

// revoke ends the token that was last shown.
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
	d := &days{t: t, vault: fakevault.NewUnplugged(), aws: aws, start: time.Now(), replaced: map[string][]time.Time{},
		store: &remote{texts: map[string]string{}, takes: 10 * time.Millisecond}}
	d.vault.SetCluster(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:app","uid":"1"}}}`)
	}))
	d.root("PUT", "sys/policies/acl/app", `{"policy":"path \"secret/data/*\" { capabilities = [\"read\"] }"}`)
	d.root("POST", "sys/auth/kubernetes", `{"type":"kubernetes"}`)
	d.root("POST", "auth/kubernetes/config", `{"kubernetes_host":"https://cluster.example"}`)
	d.root("POST", "auth/kubernetes/role/app", `{"bound_service_account_names":["app"],"bound_service_account_namespaces":["prod"],
		"token_policies":["app"],"token_ttl":"1h"}`)
	return d
}

func TestDaysOfRotationsRenewalsAndOutages(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	jwt := filepath.Join(t.TempDir(), "jwt")
	require.NoError(t, os.WriteFile(jwt, []byte(encode([]byte(`{"alg":"RS256"}`))+"."+
		encode([]byte(`{"kubernetes.io":{"namespace":"prod","serviceaccount":{"name":"app","uid":"1"}}}`))+".x"), 0o600))
	amazon := awsFake(t)
	given := awsGiven(amazon)
	given.HTTPClient = sender(amazon.RoundTrip)
	unplugged.NeedsRandom(t)
	synctest.Test(t, func(t *testing.T) {
		d := simulate(t, amazon)
		d.vault.Latency(5 * time.Millisecond)
		r := secretref.NewOver(d.vault, &secretref.Options{TTL: simulatedTTL,
			Vault:     secretref.VaultOptions{Role: "app", JWTPath: jwt},
			AWS:       secretref.AWSOptions{Config: given, Batch: true},
			Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: d.store.fetch}}})
		type wanted struct{ value, name, key string }
		var refs []wanted
		for i := range vaultSecrets {
			name := fmt.Sprintf("vault/app-%d", i)
			for _, key := range []string{"user", "password", "more"} {
				refs = append(refs, wanted{secretref.VaultReference{Mount: "secret", Path: strings.TrimPrefix(name, "vault/"), Key: key,
					Endpoint: d.vault.URL(), AuthenticationType: secretref.VaultKubernetes}.String(), name, key})
			}
			d.put(name)
		}
		for i := range awsSecrets {
			name := fmt.Sprintf("aws/db-%d", i)
			refs = append(refs, wanted{secretref.AWSReference{Region: "eu-west-1", SecretID: strings.TrimPrefix(name, "aws/")}.String(), name, "all"})
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

		ctx, end := context.WithTimeout(t.Context(), simulated)
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
			h, err := r.HandleAll(ctx, user.value, password.value)
			require.NoError(t, err)
			all.Go(func() {
				for ctx.Err() == nil {
					s := h.Value()
					require.Equal(t, d.check(user.name, "user", s[0].Reveal()), d.check(password.name, "password", s[1].Reveal()))
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
		periods := int(simulated / (simulatedTTL * 4 / 5))
		tries := int(outages/(30*time.Second)) + 100*len(d.down)
		require.Less(t, reads, vaultSecrets*(periods+tries))
		require.Less(t, d.aws.Calls(), awsSecrets*(periods+tries))
		require.Less(t, d.store.called(), remoteSecrets*(periods+tries))
		require.Less(t, logins, int(simulated/(30*time.Minute))+20+vaultSecrets*tries) // an outage fails logins in the place of reads
	})
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
