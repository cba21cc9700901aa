package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed74218947/secretref"
)

// count returns a function for Options.OnFetch that updates metrics in a registry.
// References are not labels: there can be many, and the log contains them.
func count(r prometheus.Registerer) func(secretref.FetchEvent) {
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_fetches_total", Help: "Fetches from a backend by outcome and state of " +
			"the cache.",
	}, []string{"backend", "outcome", "cache"})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_attempts_total", Help: "Attempts of these fetches.",
	}, []string{"backend"})
	stale := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_stale_total", Help: "Failed fetches for which a stale secret was served.",
	}, []string{"backend"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "secretref_fetch_seconds", Help: "Duration of a fetch with all its attempts.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 3, 10, 30},
	}, []string{"backend"})
	r.MustRegister(fetches, attempts, stale, seconds)
	return func(e secretref.FetchEvent) {
		fetches.WithLabelValues(e.Backend, e.Outcome, e.Cache).Inc()
		attempts.WithLabelValues(e.Backend).Add(float64(e.Attempts))
		seconds.WithLabelValues(e.Backend).Observe(e.Duration.Seconds())
		if e.Stale {
			stale.WithLabelValues(e.Backend).Inc()
		}
	}
}

// age exports the age of a live value. Alert on it: while fetches succeed, it stays
// below the TTL.
func age[T any](name string, live *secretref.Live[T]) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "secretref_age_seconds", Help: "Time since a live secret was last fetched.",
		ConstLabels: prometheus.Labels{"secret": name},
	}, func() float64 {
		fetched, _ := live.Status()
		return time.Since(fetched).Seconds()
	})
}
