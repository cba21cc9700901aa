package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed74218947/secretref"
)

// count returns what tells a registry about every fetch. References are left
// out of the labels: there can be many, and the log has them.
func count(r prometheus.Registerer) func(secretref.FetchEvent) {
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_fetches_total", Help: "Fetches from a backend, by outcome and by what was in memory.",
	}, []string{"backend", "outcome", "cache"})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_attempts_total", Help: "Attempts that these fetches took.",
	}, []string{"backend"})
	stale := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secretref_stale_total", Help: "Fetches in whose place the last good secret was used.",
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

// age tells how old a live value is, which is what to be alerted by: it stays
// below the TTL as long as all is well.
func age[T any](name string, h *secretref.Live[T]) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "secretref_age_seconds", Help: "Time since a live secret was last fetched.", ConstLabels: prometheus.Labels{"secret": name},
	}, func() float64 {
		fetched, _ := h.Status()
		return time.Since(fetched).Seconds()
	})
}
