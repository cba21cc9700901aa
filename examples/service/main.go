// Command service is a small production service: its database password is a
// reference, which it keeps up to date without a restart, and it exports metrics about
// this to Prometheus.
//
//	DATABASE_URL       postgres://app@db/app, without a password
//	DATABASE_PASSWORD  a reference to the password, or for experiments the password
//	VAULT_HOST         the only host that may receive the Vault token; optional
//	LAST_KNOWN         the file of a keyring for starting during an outage; optional
//	LISTEN             the address to listen on (default :8080)
//
// kubernetes.yaml runs it in a cluster, with Vault.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed74218947/secretref"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("service", "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	opts := &secretref.Options{Strict: true, Logger: log, OnFetch: count(registry)}
	if host := os.Getenv("VAULT_HOST"); host != "" {
		opts.AllowEndpoint = only(host)
	}
	if path := os.Getenv("LAST_KNOWN"); path != "" {
		keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(path),
			&secretref.KeyringOptions{Logger: log})
		if err != nil {
			return err
		}
		defer keys.Close()
		opts.LastKnown = keys
	}
	resolver := secretref.New(opts)
	defer resolver.Close()

	password, err := resolver.Watch(ctx, os.Getenv("DATABASE_PASSWORD"))
	if err != nil {
		return err
	}
	registry.MustRegister(age("database", password))
	db, err := open(os.Getenv("DATABASE_URL"), password)
	if err != nil {
		return err
	}
	defer db.Close()
	return serve(ctx, cmp.Or(os.Getenv("LISTEN"), ":8080"), handler(db, registry))
}

// only allows one host, over https.
func only(host string) func(*url.URL) error {
	return func(u *url.URL) error {
		if u.Scheme != "https" || u.Host != host {
			return errors.New("not the host in VAULT_HOST")
		}
		return nil
	}
}

// open returns a database that uses the current password for each new connection.
func open(url string, password *secretref.Live[secretref.Secret]) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not the URL of a PostgreSQL database")
	}
	db := sql.OpenDB(secretref.Connector(password,
		func(ctx context.Context, p secretref.Secret) (driver.Conn, error) {
			c := config.Copy()
			c.Password = p.Reveal()
			return stdlib.GetConnector(*c).Connect(ctx)
		}, nil))
	db.SetConnMaxLifetime(30 * time.Minute) // so that connections with an old password end
	return db, nil
}

func handler(db *sql.DB, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	// Liveness ignores dependencies: a restart does not fix an outage.
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := db.PingContext(ctx); err != nil {
			http.Error(w, "the database is unreachable", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		var user string
		if err := db.QueryRowContext(r.Context(), "SELECT current_user").Scan(&user); err != nil {
			http.Error(w, "the query failed", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, user)
	})
	return mux
}

func serve(ctx context.Context, addr string, h http.Handler) error {
	s := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- s.ListenAndServe() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.Shutdown(shutdown)
}
