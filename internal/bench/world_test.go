package bench

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

var latency = flag.Duration("latency", 5*time.Millisecond,
	"time the fake servers wait before each answer")

const (
	accessKeyID     = "AKIDBENCHMARK"
	secretAccessKey = "a-secret-access-key-for-benchmarks"
)

// world is the servers with the secrets. newWorld sets the environment so that every client uses
// them.
type world struct {
	aws   *fakeaws.Server
	vault [2]*fakevault.Server
}

func newWorld(b *testing.B) *world {
	w := &world{aws: fakeaws.New()}
	b.Cleanup(w.aws.Close)
	w.aws.AddKey(accessKeyID, secretAccessKey, "")
	w.aws.Latency(*latency)
	w.aws.Intercept(describeSecret)
	for i := range w.vault {
		w.vault[i] = fakevault.New()
		b.Cleanup(w.vault[i].Close)
		w.vault[i].Latency(*latency)
	}
	// Both accept the same token, like two endpoints of one cluster.
	w.vault[1].Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Vault-Token") == w.vault[0].RootToken() {
			r.Header.Set("X-Vault-Token", w.vault[1].RootToken())
		}
		return false
	})

	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") ||
			strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "SECRET_STORE_") {
			unset(b, name)
		}
	}
	none := b.TempDir()
	for name, value := range map[string]string{
		"HOME":                             none,
		"AWS_CONFIG_FILE":                  filepath.Join(none, "config"),
		"AWS_SHARED_CREDENTIALS_FILE":      filepath.Join(none, "credentials"),
		"AWS_EC2_METADATA_DISABLED":        "true",
		"AWS_ACCESS_KEY_ID":                accessKeyID,
		"AWS_SECRET_ACCESS_KEY":            secretAccessKey,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": w.aws.URL(),
		"VAULT_TOKEN":                      w.vault[0].RootToken(),
		"SECRET_STORE_VAULT_TOKEN":         w.vault[0].RootToken(),
	} {
		b.Setenv(name, value)
	}
	return w
}

// unset removes a variable until the benchmark ends.
func unset(b *testing.B, name string) {
	b.Setenv(name, "") // restores the old value at the end
	_ = os.Unsetenv(name)
}

// describeSecret answers an operation that gocloud needs and fakeaws does not support.
func describeSecret(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "secretsmanager.DescribeSecret" {
		return false
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = fmt.Fprintf(w, `{"Name":"described","LastChangedDate":%d}`, time.Now().Unix())
	return true
}

// calls returns the number of requests to all servers since the last reset.
func (w *world) calls() int {
	n := w.aws.Calls()
	for _, v := range w.vault {
		n += v.Calls()
	}
	return n
}

func (w *world) reset() {
	w.aws.ResetCalls()
	for _, v := range w.vault {
		v.ResetCalls()
	}
}

// closeConnections closes the connections that a client left open, so that they do not burden the
// next measurement.
func (w *world) closeConnections() {
	w.aws.HangUp()
	for _, v := range w.vault {
		v.HangUp()
	}
	time.Sleep(time.Millisecond) // for the clients to notice
}

// store stores the secrets of the references in the servers.
func (w *world) store(refs []reference) {
	for _, r := range refs {
		if r.region != "" {
			w.aws.PutSecret(r.region, r.secret, r.document())
		} else {
			data := map[string]any{}
			for _, key := range keys {
				data[key] = reference{secret: r.secret, key: key}.want()
			}
			w.vault[r.server].Put(mount, r.secret, data)
		}
	}
}
