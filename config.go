package secretref

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Product is one of the products whose configuration files are read.
type Product string

// The products.
const (
	Jira       Product = "jira"       // dbconfig.xml
	Confluence Product = "confluence" // confluence.cfg.xml
	Bitbucket  Product = "bitbucket"  // bitbucket.properties
	Bamboo     Product = "bamboo"     // bamboo.cfg.xml
	Crowd      Product = "crowd"      // crowd.cfg.xml
)

// A ConfigFile is what a product's configuration file says. Nothing in it is
// resolved. Its values may be passwords and are Secrets, so that a Config can be
// printed.
type ConfigFile struct {
	Product Product
	Path    string
	Entries []Entry // in file order
}

// An Entry is one setting, decoded as the product does. In XML files its key
// is the path of the element below the root ("jdbc-datasource/password") or
// the name of the property.
type Entry struct {
	Key   string
	Value Secret
	Line  int // counted from 1; 0 for what WithEnvironment adds

	variable string // that the value comes from
}

// ReadConfig reads a product's configuration file, or the one in a product's
// home directory, where the product itself looks for it. It resolves nothing,
// reads nothing but that file, and does not look at the environment, see
// [Config.WithEnvironment]. Errors: ErrNotFound, ErrDenied (the file's
// permissions), ErrUnavailable (reading failed), ErrSyntax (with the line),
// ErrUnsupported (another kind of
// file, two products' files in one directory, a DOCTYPE with a subset or an
// external id, more than 4 MiB, a JNDI data source).
func ReadConfig(path string) (*ConfigFile, error) {
	if strings.TrimSpace(path) == "" {
		return nil, &Error{Err: fault.New(fault.NotFound, "the path of the configuration file is empty: is a variable not set?").WithCause(fs.ErrNotExist)}
	}
	f, err := atlassian.Read(path)
	if err != nil {
		if f != nil {
			path = f.Path
		}
		return nil, &Error{Source: fault.Printable(path), Err: err}
	}
	c := &ConfigFile{Product: Product(f.Product), Path: f.Path, Entries: make([]Entry, len(f.Entries))}
	for i, e := range f.Entries {
		c.Entries[i] = Entry{Key: e.Key, Value: asRead(e.Value), Line: e.Line}
	}
	return c, nil
}

// asRead returns text of a configuration file as a Secret. It is what the
// product reads: nothing is left to be resolved in it by ResolveStruct.
func asRead(text string) Secret { return resolvedSecret(text) }

// Get returns the value of key as the product sees it, not resolved: of several
// entries the last one in bitbucket.properties and *.cfg.xml, the first one in
// dbconfig.xml.
func (c *ConfigFile) Get(key string) (Secret, bool) {
	i := atlassian.Pick(atlassian.Product(c.Product), c.Entries, func(e Entry) bool { return e.Key == key })
	if i < 0 {
		return Secret{}, false
	}
	return c.Entries[i].Value, true
}

// WithEnvironment returns what the product makes of the file in a process with
// that environment, a list of name=value as of [os.Environ]; c stays as it is.
// The product's own environment is needed: that of a shell beside it, in its
// container too, may be another.
//
// Bitbucket takes any property from a variable of its name in capitals, with "_"
// for "." and "-": JDBC_DRIVER, JDBC_URL, JDBC_USER, JDBC_PASSWORD (a reference
// has no prefix there), JDBC_PASSWORD_DECRYPTER_CLASSNAME. Official charts leave
// the file without them, so that a Config with nothing but its Product can be
// enough. Variables win over the file. They are looked for where the property is
// in the file, or has to do with the database; their entries stand behind those
// of the file and have Line 0. ${name} and ${name:default} are replaced as by
// Spring: from the environment, else from another property. What cannot be
// replaced stays, and is ErrUnsupported when it has to be resolved. System
// properties and the command line of the product, which win over both, are not
// seen.
//
// The files of the other products do not depend on the environment.
func (c *ConfigFile) WithEnvironment(env []string) *ConfigFile {
	with := &ConfigFile{Product: c.Product, Path: c.Path, Entries: slices.Clone(c.Entries)}
	if c.Product != Bitbucket {
		return with
	}
	replaced, overrides := atlassian.Overlay(c.entries(), env)
	for i, e := range replaced {
		with.Entries[i].Value = asRead(e.Value)
	}
	for _, o := range overrides {
		with.Entries = append(with.Entries, Entry{Key: o.Key, Value: asRead(o.Value), variable: o.Variable})
	}
	return with
}

// source names the place of an item in messages.
func (c *ConfigFile) source(item atlassian.Item) string {
	file := c.fileName()
	i := atlassian.Pick(atlassian.Product(c.Product), c.Entries, func(e Entry) bool { return e.Key == item.Key })
	if variable := c.Entries[i].variable; variable != "" {
		return fmt.Sprintf("%s: variable %s: %s", file, variable, item.Key)
	}
	return fmt.Sprintf("%s:%d: %s", file, item.Line, item.Key)
}

// fileName returns the base name of the file, and of the product if there is
// none.
func (c *ConfigFile) fileName() string {
	if c.Path == "" {
		return string(c.Product)
	}
	return filepath.Base(c.Path)
}

// entries returns the entries as text.
func (c *ConfigFile) entries() []atlassian.Entry {
	entries := make([]atlassian.Entry, len(c.Entries))
	for i, e := range c.Entries {
		entries[i] = atlassian.Entry{Key: e.Key, Value: e.Value.text(), Line: e.Line}
	}
	return entries
}

// ResolveConfig resolves the password of a configuration file, and in
// bitbucket.properties every value with the prefix {ENC}. The cipher class in
// the file decides how, wherever it stands: with an AWS or Vault class the
// value must be coordinates of that backend, with a Base64 or Algorithm class
// the file holds the password itself, or leads to the files that do, a
// Provider's class gets the text verbatim, and without a class a reference is
// resolved and anything else is plaintext. It returns what could be resolved, never nil, beside the joined
// errors, each naming file, line and key.
func (r *Resolver) ResolveConfig(ctx context.Context, c *ConfigFile) (*Settings, error) {
	p, err := r.planConfig(c)
	if err != nil {
		return p.settings(nil, nil), err
	}
	secrets, errs := r.all(ctx, p.wants, false)
	settings := p.settings(secrets, errs)
	return settings, errors.Join(append(errs, r.databaseMissing(ctx, c, p), r.passwordMissing(ctx, c, p.layout))...)
}

// WatchConfig is [Resolver.ResolveConfig] for Settings that are kept up to
// date: when a secret changes there are new Settings, and those handed out
// before stay as they are. The configuration file is not read again; the files
// that an Algorithm class leads to are.
func (r *Resolver) WatchConfig(ctx context.Context, c *ConfigFile) (*Live[*Settings], error) {
	p, err := r.planConfig(c)
	if err == nil {
		err = errors.Join(r.databaseMissing(ctx, c, p), r.passwordMissing(ctx, c, p.layout))
	}
	if err != nil {
		return nil, err
	}
	return watch(ctx, r, p.wants, func(secrets []Secret) *Settings { return p.settings(secrets, make([]error, len(secrets))) })
}

// configPlan is what has to be resolved for a configuration file.
type configPlan struct {
	plain  Settings // without what is resolved
	layout atlassian.Layout
	items  []atlassian.Item
	wants  []want // of each of items
}

func (r *Resolver) planConfig(c *ConfigFile) (configPlan, error) {
	p, entries := atlassian.Product(c.Product), c.entries()
	layout := atlassian.LayoutOf(p)
	plan := configPlan{layout: layout, plain: Settings{Product: c.Product, Database: Database{
		Driver:   atlassian.Text(p, entries, layout.Driver),
		URL:      asRead(atlassian.Text(p, entries, layout.URL)),
		Username: atlassian.Text(p, entries, layout.Username),
		Schema:   atlassian.Text(p, entries, layout.Schema),

		properties: asRead(atlassian.Properties(p, entries)),
	}}}
	plan.plain.Database.noURL = c.Product == Bitbucket && plan.plain.Database.URL.IsZero()
	var err error
	if plan.items, err = atlassian.Items(p, entries); err != nil {
		return plan, &Error{Source: fault.Printable(c.fileName()), Err: err}
	}
	plan.wants = make([]want, len(plan.items))
	for i, item := range plan.items {
		plan.wants[i] = r.wantItem(c, item)
		plan.wants[i].source = c.source(item)
	}
	return plan, nil
}

// settings puts together what became of the items.
func (p configPlan) settings(secrets []Secret, errs []error) *Settings {
	settings := p.plain
	settings.Secrets = map[string]Secret{}
	fetched := !malformed(p.wants)
	for i := range secrets {
		item := p.items[i]
		var secret Secret
		if resolved := errs[i] == nil && (fetched || p.wants[i].settled()); resolved {
			secret = secrets[i]
			settings.Secrets[item.Key] = secret
		}
		// A URL or user name can be a reference too, which is none of either.
		switch db := &settings.Database; item.Key {
		case p.layout.Password:
			db.Password = secret
		case p.layout.URL:
			db.URL = secret
		case p.layout.Username:
			db.Username = secret.Reveal()
		case p.layout.Driver:
			db.Driver = secret.Reveal()
		}
	}
	return &settings
}

// databaseMissing says that a file of Bitbucket names no database: what is in
// the environment of the product is not in the file. It is an error where nothing
// else is in the file that could be wanted, and under Strict.
func (r *Resolver) databaseMissing(ctx context.Context, c *ConfigFile, p configPlan) error {
	if !p.plain.Database.noURL {
		return nil
	}
	_, user := c.Get(p.layout.Username)
	if err := atlassian.MissingURLFault(); r.open().opts.Strict || !user && len(p.items) == 0 {
		return &Error{Source: fault.Printable(c.fileName()), Err: err}
	}
	r.open().log.WarnContext(ctx, "the file names no database: is it in the environment of the product?", "source", c.Path, "missing", p.layout.URL)
	return nil
}

// passwordMissing tells of a database without a password, which some are
// reached without.
func (r *Resolver) passwordMissing(ctx context.Context, c *ConfigFile, layout atlassian.Layout) error {
	if _, ok := c.Get(layout.Password); ok {
		return nil
	}
	if url, _ := c.Get(layout.URL); url.IsZero() {
		return nil
	}
	if r.open().opts.Strict {
		return &Error{Source: fault.Printable(c.Path), Err: fault.New(fault.NotReference, "%s is missing, which Strict forbids", layout.Password)}
	}
	r.open().log.WarnContext(ctx, "the file names a database and no password", "source", c.Path, "missing", layout.Password)
	return nil
}

// wantItem parses a value of a configuration file as its class says. What needs
// no backend it finds at once.
func (r *Resolver) wantItem(c *ConfigFile, item atlassian.Item) want {
	w := want{value: item.Text}
	if c.Product == Bitbucket && (atlassian.HoldsPlaceholder(item.Value) || atlassian.HoldsPlaceholder(item.Class)) {
		w.err = atlassian.PlaceholderFault()
		return w
	}
	if ref.IsPlaceholder(item.Text) {
		w.err = ref.PlaceholderFault()
		return w
	}
	switch store := atlassian.CipherClassOf(item.Class); store {
	case atlassian.NoClass:
		w := r.want("", item.Text)
		w.fromFile = true
		return w
	case atlassian.AWSClass, atlassian.VaultClass:
		w.ref, w.err = r.open().grammar.Coordinates(item.Value) // with its prefix, which has two forms
		if w.err == nil && w.ref.Kind != store.Kind() {
			w.err = fault.New(fault.Syntax, "the value has coordinates of %s, but the class %s reads those of %s",
				ref.BackendName(w.ref.Kind), item.Class, ref.BackendName(store.Kind()))
		}
	case atlassian.CustomClass:
		w.ref = ref.Reference{Kind: ref.Custom, Class: item.Class, Text: item.Text}
		if p, ok := r.open().providers[item.Class]; !ok || p.ClassName == "" {
			w.err = unknownClass(item.Class)
		}
	case atlassian.Base64Class:
		text, err := cipher.Base64(item.Text)
		w.found, w.err = &text, err
	case atlassian.AlgorithmClass:
		w.ref = ref.Reference{Kind: ref.CipherFile, Class: item.Class, Text: item.Text, Dir: filepath.Dir(c.Path)}
		_, w.err = r.open().sealed.algorithm(w.ref.Target()).Files(item.Text)
	}
	return w
}

// unknownClass repeats only what looks like a class: where class and password
// are swapped it is the password.
func unknownClass(class string) error {
	if !atlassian.LooksLikeClass(class) {
		return fault.New(fault.Unsupported, "what stands in the place of the class is not the name of one: are class and password swapped?")
	}
	return fault.New(fault.Unsupported, "the class %q is none of the products' own; is it misspelt? A program can read a custom one with a Provider", class)
}
