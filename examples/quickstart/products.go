package main

import (
	"context"
	"fmt"
	"io"

	"github.com/seed74218947/secretref"
)

// products resolves the files of the three products, as a backup or migration tool
// would, and compares the results with the stored secrets.
func products(ctx context.Context, s *stage, w io.Writer) error {
	resolver := secretref.New(nil)
	defer resolver.Close()

	for _, product := range []struct {
		home   string
		stored map[string]string // the expected secrets by key
	}{
		{"jira", map[string]string{"jdbc-datasource/password": jiraPassword}},
		{"confluence", map[string]string{"hibernate.connection.password": confluencePassword}},
		{"bitbucket", map[string]string{"jdbc.password": bitbucketPassword,
			"plugin.search.config.password": searchPassword}},
	} {
		config, err := secretref.ReadConfig(s.home(product.home))
		if err != nil {
			return err
		}
		settings, err := resolver.ResolveConfig(ctx, config)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, config.Path)
		db := settings.Database
		fmt.Fprintf(w, "    %s as %s, driver %s, password %v\n", db.MaskedURL(), db.Username,
			db.Driver, db.Password)
		source, err := db.DataSource()
		if err != nil {
			return err
		}
		dsn := source.Name
		fmt.Fprintf(w, "    sql.Open(%q, dsn.Reveal()) opens the database; dsn prints as %v\n",
			source.Driver, dsn)
		if len(settings.Secrets) != len(product.stored) {
			return fmt.Errorf("%s: resolved %d values instead of %d", config.Path,
				len(settings.Secrets), len(product.stored))
		}
		for _, entry := range config.Entries {
			stored, isSecret := product.stored[entry.Key]
			if !isSecret {
				continue
			}
			if err := equal(settings.Secrets[entry.Key], stored); err != nil {
				return fmt.Errorf("%s: %s: %w", config.Path, entry.Key, err)
			}
			fmt.Fprintf(w, "    line %d: %s\n", entry.Line, entry.Key)
			fmt.Fprintf(w, "        %s\n        is %q\n", entry.Value.Reveal(),
				settings.Secrets[entry.Key].Reveal())
		}
	}
	return nil
}

// equal returns an error unless a resolved secret is the stored one.
func equal(got secretref.Secret, stored string) error {
	if !got.Equal(secretref.NewSecret(stored)) {
		return fmt.Errorf("the resolved value differs from the stored one")
	}
	return nil
}
