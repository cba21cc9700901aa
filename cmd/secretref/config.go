package main

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
	"github.com/seed74218947/secretref/internal/atlassian"
)

func configCommand() command {
	return command{
		name:     "config",
		synopsis: "config [-json] [-reveal] [-timeout D] [-store S] PATH",
		help: `
Prints how to reach the database of the product whose configuration file, or
home directory, PATH is. What could be resolved is printed also when something
else failed; the exit status is 1 then. A text that holds unprintable characters
is printed in quotes, with escapes.

  -json                       print a JSON object; what is not resolved is null
  -reveal                     print passwords, also those that the URL carries
  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeFlagsHelp + `

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys".`,
		run: showConfig,
	}
}

func showConfig(ctx context.Context, args []string, s streams) error {
	f := flags("config")
	asJSON := f.Bool("json", false, "")
	reveal := f.Bool("reveal", false, "")
	var store storeFlags
	store.register(f)
	args, err := parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	c, err := secretref.ReadConfig(args[0])
	if err != nil {
		return err
	}
	log, stop := watchWaits(s.err, warnings(s.err))
	defer stop()
	keyring, err := store.optional(ctx, log)
	if err != nil {
		return err
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Timeout: store.timeout.value(), Keyring: keyring.keyring(), Logger: log})
	defer resolver.Close()
	settings, failed := resolver.ResolveConfig(ctx, c)

	r := newReport(c, settings, *reveal)
	if *asJSON {
		err = r.writeJSON(s.exact)
	} else {
		err = r.writeText(s.out)
	}
	return errors.Join(failed, err)
}

// report is what config prints. A null password is not resolved.
type report struct {
	Product  secretref.Product  `json:"product"`
	Path     string             `json:"path"`
	Driver   string             `json:"driver"`
	URL      string             `json:"url"`
	Username string             `json:"username"`
	Schema   string             `json:"schema"`
	Password *string            `json:"password"`
	Secrets  map[string]*string `json:"secrets"` // every value of the file that has to be resolved, by key

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
	items, _ := itemsOf(c) // its error is ResolveConfig's too
	for _, item := range items {
		r.Secrets[item.Key] = nil
	}
	for key, secret := range s.Secrets {
		r.Secrets[key] = show(secret)
	}
	r.Password = r.Secrets[r.passwordKey]
	return r
}

// itemsOf lists the values of a file that have to be resolved.
func itemsOf(c *secretref.ConfigFile) ([]atlassian.Item, error) {
	entries := make([]atlassian.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = entryOf(e)
	}
	return atlassian.Items(atlassian.Product(c.Product), slices.All(entries))
}

// entryOf returns an entry as text.
func entryOf(e secretref.Entry) atlassian.Entry {
	return atlassian.Entry{Key: e.Key, Value: e.Value.Reveal(), Line: e.Line}
}

func (r report) writeJSON(w io.Writer) error {
	for key, text := range r.Secrets {
		if text != nil && !utf8.ValidString(*text) {
			// The encoder would silently replace bytes of the password.
			return fmt.Errorf("the secret of %s is not UTF-8 and cannot be written as JSON: use \"secretref resolve\"", key)
		}
	}
	e := newJSONEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r report) writeText(w io.Writer) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name+":", printable(value))
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
		fmt.Fprintf(&b, "%s: %s\n", printable(key), printable(secret(others[key])))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
