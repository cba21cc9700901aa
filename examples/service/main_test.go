package main

import (
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

const reference = `{"region":"eu-west-1","secretId":"db"}`

func TestCount(t *testing.T) {
	registry := prometheus.NewRegistry()
	fake := secretref.NewFake()
	fake.Set(reference, "canary")
	resolver := secretref.New(&secretref.Options{Fake: fake, OnFetch: count(registry)})
	defer resolver.Close()
	h, err := resolver.Watch(t.Context(), reference)
	require.NoError(t, err)
	fake.Fail(reference, secretref.ErrUnavailable)
	_, err = h.Refresh(t.Context())
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	_, err = resolver.Resolve(t.Context(), `{"region":"eu-west-1","secretId":"none"}`)
	require.ErrorIs(t, err, secretref.ErrNotFound)

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP secretref_fetches_total Fetches from a backend by outcome and state of the cache.
		# TYPE secretref_fetches_total counter
		secretref_fetches_total{backend="aws",cache="miss",outcome="not_found"} 1
		secretref_fetches_total{backend="aws",cache="miss",outcome="ok"} 1
		secretref_fetches_total{backend="aws",cache="refresh",outcome="unavailable"} 1
		# HELP secretref_stale_total Failed fetches for which a stale secret was served.
		# TYPE secretref_stale_total counter
		secretref_stale_total{backend="aws"} 1
	`), "secretref_fetches_total", "secretref_stale_total"))

	registry.MustRegister(age("database", h))
	found, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range found {
		if family.GetName() == "secretref_age_seconds" {
			assert.InDelta(t, 0, family.GetMetric()[0].GetGauge().GetValue(), time.Minute.Seconds())
		}
	}
}

func TestHandler_withoutDatabase(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(reference, "canary")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()
	h, err := resolver.Watch(t.Context(), reference)
	require.NoError(t, err)
	db, err := open("postgres://app@127.0.0.1:1/app", h)
	require.NoError(t, err)
	defer db.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(age("database", h))
	for path, status := range map[string]int{"/livez": 200, "/readyz": 503, "/": 502,
		"/metrics": 200} {
		w := httptest.NewRecorder()
		handler(db, registry).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		assert.Equal(t, status, w.Code, path)
		assert.NotContains(t, w.Body.String(), "canary")
	}
	_, err = open("not a url://canary", h)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "canary")
}

func TestManifest_referenceIsValid(t *testing.T) {
	manifest, err := os.ReadFile("kubernetes.yaml")
	require.NoError(t, err)
	value := regexp.MustCompile(`value: '(.*)'`).FindSubmatch(manifest)
	require.NotNil(t, value)
	ref, err := secretref.Parse(string(value[1]))
	require.NoError(t, err)
	assert.Equal(t, secretref.VaultKubernetes, ref.(secretref.VaultReference).AuthenticationType)
}

func TestOnly(t *testing.T) {
	for endpoint, allowed := range map[string]bool{
		"https://vault.example.com:8200": true, "http://vault.example.com:8200": false,
		"https://vault.example.com": false, "https://evil.example:8200": false,
	} {
		u, err := url.Parse(endpoint)
		require.NoError(t, err)
		assert.Equal(t, allowed, only("vault.example.com:8200")(u) == nil, endpoint)
	}
}
