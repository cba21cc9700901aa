// Package config is the command "config", and helpers for configuration files that
// check and set share.
package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
)

func Command() ui.Command {
	return ui.Command{
		Name:     "config",
		Synopsis: "config [-json] [-reveal] [-timeout D] [-store S] PATH",
		Help: `
Prints the database settings of the product whose configuration file or home
directory is PATH. If some values cannot be resolved, the others are still printed
and the exit status is 1. Text with unprintable characters is printed in quotes,
with escapes.

  -json                       print a JSON object; unresolved values are null
  -reveal                     print passwords, including those in the URL
` + ui.TimeoutHelp + `
` + storeflags.Help + `

-store opens the keyring for references with "keyring"; see "secretref help keys".`,
		Run: run,
	}
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	f := ui.NewFlags("config")
	asJSON := f.Bool("json", false, "")
	reveal := f.Bool("reveal", false, "")
	var store storeflags.Flags
	store.Register(f)
	args, err := ui.ParseFlags(f, args, 1, 1)
	if err != nil {
		return err
	}
	c, err := secretref.ReadConfig(args[0])
	if err != nil {
		return err
	}
	log, stop := ui.ReportWaits(s.Err, ui.NewWarningLogger(s.Err))
	defer stop()
	keyring, err := store.OpenIfGiven(ctx, log)
	if err != nil {
		return err
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Timeout: store.Timeout.Value(),
		Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()
	settings, failed := resolver.ResolveConfig(ctx, c)

	r := newReport(c, settings, *reveal)
	if *asJSON {
		err = r.writeJSON(s.Exact)
	} else {
		err = r.writeText(s.Out)
	}
	return errors.Join(failed, err)
}

// report is the output of config. An unresolved password is null.
type report struct {
	Product  secretref.Product  `json:"product"`
	Path     string             `json:"path"`
	Driver   string             `json:"driver"`
	URL      string             `json:"url"`
	Username string             `json:"username"`
	Schema   string             `json:"schema"`
	Password *string            `json:"password"`
	Secrets  map[string]*string `json:"secrets"` // all resolvable values by key

	passwordKey string
}

func newReport(c *secretref.ConfigFile, s *secretref.Settings, reveal bool) report {
	d := s.Database
	r := report{
		Product: c.Product, Path: c.Path,
		Driver: d.Driver, URL: d.MaskedURL(), Username: d.Username, Schema: d.Schema,
		Secrets:     map[string]*string{},
		passwordKey: atlassian.LayoutOf(atlassian.Product(c.Product)).Password,
	}
	show := func(x secretref.Secret) *string {
		text := x.String()
		if reveal {
			text = x.Reveal()
		}
		return &text
	}
	if reveal {
		r.URL = d.URL.Reveal()
	}
	items, _ := Items(c) // its error is ResolveConfig's too
	for _, item := range items {
		r.Secrets[item.Key] = nil
	}
	for key, secret := range s.Secrets {
		r.Secrets[key] = show(secret)
	}
	r.Password = r.Secrets[r.passwordKey]
	return r
}

func (r report) writeJSON(w io.Writer) error {
	for key, text := range r.Secrets {
		if text != nil && !utf8.ValidString(*text) {
			// The encoder would silently replace invalid bytes of the password.
			return fmt.Errorf("the secret of %s is not valid UTF-8, which JSON requires: use "+
				"\"secretref resolve\"", key)
		}
	}
	e := ui.NewJSONEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r report) writeText(w io.Writer) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name+":", ui.Printable(value))
		}
	}
	secret := func(text *string) string {
		if text == nil {
			return "(not resolved)"
		}
		return cmp.Or(*text, "(empty)")
	}
	line("product", string(r.Product))
	line("file", r.Path)
	line("driver", r.Driver)
	line("url", r.URL)
	line("user", r.Username)
	line("schema", r.Schema)
	line("password", secret(r.Password))

	others := maps.Clone(r.Secrets)
	delete(others, r.passwordKey)
	for _, key := range slices.Sorted(maps.Keys(others)) {
		fmt.Fprintf(&b, "%s: %s\n", ui.Printable(key), ui.Printable(secret(others[key])))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
