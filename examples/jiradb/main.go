// Command jiradb opens the database of Jira with the settings in its home directory,
// runs a query and prints the result. It also supports Confluence, Bitbucket, Bamboo
// and Crowd.
//
//	jiradb /var/atlassian/application-data/jira "SELECT pkey, pname FROM project"
//	jiradb -check /var/atlassian/application-data/confluence
//	jiradb -every 10s /var/atlassian/application-data/jira
//
// Run it as the user of the product's service, with its environment. It reads the file
// once, and follows rotations of the password that the reference names.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/seed74218947/secretref"
)

const usage = "usage: jiradb [-check] [-every D] [-store FILE] [-v] PATH [QUERY]\n"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("jiradb", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	check := f.Bool("check", false, "only log in")
	every := f.Duration("every", 0, "repeat the query at this interval until interrupted")
	store := f.String("store", "", "the file of the keyring for references with keyring")
	verbose := f.Bool("v", false, "log fetches")
	if err := f.Parse(args); err != nil || f.NArg() < 1 || f.NArg() > 2 || *every < 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	err := serve(ctx, f.Arg(0), *store, log, func(db *database) error {
		if *check {
			if err := db.PingContext(ctx); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: logged in\n", db.product)
			return nil
		}
		query := f.Arg(1)
		if query == "" {
			query = db.whoAmI()
		}
		err := show(ctx, stdout, db.DB, query)
		if *every == 0 || err != nil {
			return err
		}
		return repeat(ctx, *every, log, func() error { return show(ctx, stdout, db.DB, query) })
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, "jiradb:", err)
		return 1
	}
	return 0
}

// serve opens the database of a product, passes it to use and closes it.
func serve(ctx context.Context, path, store string, log *slog.Logger,
	use func(*database) error) error {
	opts := &secretref.Options{Logger: log}
	if store != "" {
		keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(store),
			&secretref.KeyringOptions{Logger: log})
		if err != nil {
			return err
		}
		defer keys.Close()
		opts.Keyring = keys
	}
	resolver := secretref.New(opts)
	defer resolver.Close()
	db, err := open(ctx, resolver, path, log)
	if err != nil {
		return err
	}
	defer db.Close()
	return use(db)
}

// repeat calls f at an interval until the context ends. Errors are logged, since the
// next call may succeed.
func repeat(ctx context.Context, every time.Duration, log *slog.Logger, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := f(); err != nil {
				log.WarnContext(ctx, "the query failed", "error", err.Error())
			}
		}
	}
}

// show prints the result of a query as a table.
func show(ctx context.Context, w io.Writer, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	var table bytes.Buffer
	t := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(names, "\t"))
	for rows.Next() {
		cells, targets := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range cells {
			targets[i] = &cells[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		for i, cell := range cells {
			if !cell.Valid {
				cell.String = "NULL"
			}
			fmt.Fprint(t, map[bool]string{true: "\t"}[i > 0],
				strings.NewReplacer("\t", " ", "\n", " ").Replace(cell.String))
		}
		fmt.Fprintln(t)
	}
	if err := errors.Join(rows.Err(), t.Flush()); err != nil {
		return err
	}
	_, err = w.Write(table.Bytes())
	return err
}
