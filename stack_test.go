package secretref_test

import (
	"context"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

// stackRecorder is a RoundTripper that records the stacks of all goroutines during
// its latest request.
type stackRecorder struct {
	http.RoundTripper
	stacks atomic.Pointer[string]
}

func (s *stackRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	s.stacks.Store(&stacks)
	return s.RoundTripper.RoundTrip(r)
}

var (
	goroutineID = regexp.MustCompile(`^goroutine (\d+) `)
	createdBy   = regexp.MustCompile(`(?m)^created by .* in goroutine (\d+)$`)
	ourFunction = regexp.MustCompile(`(?m)^github\.com/seed74218947/secretref((?:/[\w/]+)?)\.`)
)

// passed returns the packages of ours on the way from the outermost frame of the
// test's goroutine to the request, and how often it changes the goroutine.
func passed(t *testing.T, stacks string) (packages []string, switches int) {
	byID := map[string]string{}
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if id := goroutineID.FindStringSubmatch(stack); id != nil {
			byID[id[1]] = stack
		}
	}
	current, _, _ := strings.Cut(stacks, "\n\n")
	for {
		for _, match := range ourFunction.FindAllStringSubmatch(current, -1) { // innermost first
			if name := match[1]; len(packages) == 0 || packages[0] != name {
				packages = slices.Insert(packages, 0, name)
			}
		}
		parent := createdBy.FindStringSubmatch(current)
		if parent == nil || strings.Contains(current, "testing.tRunner(") {
			return packages, switches
		}
		current = byID[parent[1]]
		require.NotEmpty(t, current, "the goroutine that started the fetch waits for it")
		switches++
	}
}

// The call stack of a Vault read goes down only: root, fetch, backend.
func TestVaultReadStack(t *testing.T) {
	vault := fakevault.NewInProcess()
	vault.Put("secret", "db", map[string]any{"password": "hunter2"})
	recorder := &stackRecorder{RoundTripper: vault}
	r := secretref.NewOver(recorder, &secretref.Options{TTL: -1, Vault: secretref.VaultOptions{
		Token: func(context.Context) (string, error) { return vault.RootToken(), nil }}})
	defer r.Close()
	value := secretref.VaultReference{Mount: "secret", Path: "db", Key: "password",
		Endpoint: "https://vault.example"}.String()
	for name, resolve := range map[string]func() (secretref.Secret, error){
		"Resolve": func() (secretref.Secret, error) { return r.Resolve(t.Context(), value) },
		"ResolveAll": func() (secretref.Secret, error) {
			all, err := r.ResolveAll(t.Context(), value)
			return all[0], err
		},
		"Watch": func() (secretref.Secret, error) {
			live, err := r.Watch(t.Context(), value)
			if err != nil {
				return secretref.Secret{}, err
			}
			defer live.Close()
			return live.Refresh(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorder.stacks.Store(nil)
			secret, err := resolve()
			require.NoError(t, err)
			require.Equal(t, "hunter2", secret.Reveal())
			packages, switches := passed(t, *recorder.stacks.Load())
			require.LessOrEqual(t, len(packages), 7, "%v", packages)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(packages))), len(packages),
				"a package is entered again: %v", packages)
			require.Equal(t, 1, switches)
		})
	}
}
