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

// A Product is an Atlassian product whose configuration file can be read.
type Product string

// The products.
const (
	Jira       Product = "jira"       // dbconfig.xml
	Confluence Product = "confluence" // confluence.cfg.xml
	Bitbucket  Product = "bitbucket"  // bitbucket.properties
	Bamboo     Product = "bamboo"     // bamboo.cfg.xml
	Crowd      Product = "crowd"      // crowd.cfg.xml
)

// A ConfigFile is the content of a product's configuration file, not resolved. Its
// values may be passwords and are Secrets, so that a ConfigFile can be printed.
type ConfigFile struct {
	Product Product
	Path    string
	Entries []Entry // in file order
}

// An Entry is one setting, decoded in the same way as the product decodes it. In XML
// files its key is the path of the element below the root
// ("jdbc-datasource/password") or the name of the property.
type Entry struct {
	Key   string
	Value Secret
	Line  int // counted from 1; 0 if WithEnvironment added the entry

	variable string // the name of the environment variable with the value, or ""
}

// ReadConfig reads a product's configuration file. The path is that of the file or
// of the product's home directory, in which ReadConfig looks for the file where the
// product itself does. It resolves nothing, reads no other file, and ignores the
// environment; see [ConfigFile.WithEnvironment].
//
// Errors:
//
//   - ErrNotFound: the file does not exist;
//   - ErrDenied: the permissions of the file do not allow reading it;
//   - ErrUnavailable: reading failed;
//   - ErrSyntax: the content is malformed; the message has the line;
//   - ErrUnsupported: the file is of another kind or larger than 4 MiB, the
//     directory holds the files of two products, or the file has a DOCTYPE with an
//     internal subset or an external id, or a JNDI data source.
func ReadConfig(path string) (*ConfigFile, error) {
	if strings.TrimSpace(path) == "" {
		err := fault.New(fault.NotFound,
			"the path of the configuration file is empty: is a variable not set?")
		return nil, &Error{Err: err.WithCause(fs.ErrNotExist)}
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
		c.Entries[i] = Entry{Key: e.Key, Value: fileSecret(e.Value), Line: e.Line}
	}
	return c, nil
}

// fileSecret returns a text of a configuration file as a Secret. Only ResolveConfig
// resolves it, never ResolveStruct.
func fileSecret(text string) Secret { return resolvedSecret(text) }

// Get returns the value of key as the product reads it, not resolved. If there are
// several entries, it is the last one in bitbucket.properties and *.cfg.xml, and the
// first one in dbconfig.xml.
func (c *ConfigFile) Get(key string) (Secret, bool) {
	i, _ := atlassian.Find(atlassian.Product(c.Product), c.entries(), key)
	if i < 0 {
		return Secret{}, false
	}
	return c.Entries[i].Value, true
}

// WithEnvironment returns the configuration that the product reads in a process with
// the environment env, a list of name=value as returned by [os.Environ]. It does not
// modify c. Pass the environment of the product's own process: the environment of a
// shell can differ, even inside the same container.
//
// Bitbucket takes the value of a property from the environment variable with the
// property's name in capital letters and "_" in place of "." and "-": JDBC_DRIVER,
// JDBC_URL, JDBC_USER, JDBC_PASSWORD (where a reference has no prefix),
// JDBC_PASSWORD_DECRYPTER_CLASSNAME. Variables take precedence over the file. Official
// Helm charts set these properties only in the environment, so a ConfigFile with
// nothing but its Product can be enough.
//
// WithEnvironment considers the variables of all properties that are in the file or
// that concern the database. It adds their entries after those of the file, with Line
// 0. It replaces ${name} and ${name:default} as Spring does, by the environment
// variable or else by another property. A placeholder that cannot be replaced remains,
// and is ErrUnsupported if its value has to be resolved. The product's Java system
// properties and command line, which take precedence over both, are not considered.
//
// The files of the other products do not depend on the environment.
func (c *ConfigFile) WithEnvironment(env []string) *ConfigFile {
	with := &ConfigFile{Product: c.Product, Path: c.Path, Entries: slices.Clone(c.Entries)}
	if c.Product != Bitbucket {
		return with
	}
	replaced, overrides := atlassian.Overlay(c.entries(), env)
	for i, e := range replaced {
		with.Entries[i].Value = fileSecret(e.Value)
	}
	for _, o := range overrides {
		with.Entries = append(with.Entries, Entry{
			Key: o.Key, Value: fileSecret(o.Value), variable: o.Variable,
		})
	}
	return with
}

// source returns the location of an item for messages.
func (c *ConfigFile) source(item atlassian.Item) string {
	file := c.fileName()
	if variable := c.Entries[item.Index].variable; variable != "" {
		return fmt.Sprintf("%s: variable %s: %s", file, variable, item.Key)
	}
	return fmt.Sprintf("%s:%d: %s", file, item.Line, item.Key)
}

// fileName returns the base name of the file, or else the name of the product.
func (c *ConfigFile) fileName() string {
	if c.Path == "" {
		return string(c.Product)
	}
	return filepath.Base(c.Path)
}

// entries iterates over the entries as text.
func (c *ConfigFile) entries() atlassian.Entries {
	return func(yield func(int, atlassian.Entry) bool) {
		for i, e := range c.Entries {
			if !yield(i, atlassian.Entry{Key: e.Key, Value: e.Value.text(), Line: e.Line}) {
				return
			}
		}
	}
}

// ResolveConfig resolves the password of a configuration file and, in
// bitbucket.properties, every value with the prefix {ENC}. The cipher class that the
// file names determines how:
//
//   - an AWS or Vault class: the value must be coordinates of that backend;
//   - a Base64 class: the value contains the password;
//   - an Algorithm class: the value names the files that contain the password, or
//     contains it itself;
//   - the ClassName of a [Provider]: the Provider receives the exact text;
//   - no class: a reference is resolved, and any other value is plaintext.
//
// ResolveConfig always returns Settings, with the values that were resolved, and
// all errors joined, each with the file, line and key.
func (r *Resolver) ResolveConfig(ctx context.Context, c *ConfigFile) (*Settings, error) {
	p, err := r.planConfig(c)
	if err != nil {
		return p.settings(nil, nil), err
	}
	secrets, errs := r.resolveAll(ctx, p.requests, false)
	settings := p.settings(secrets, errs)
	errs = append(errs, r.checkDatabase(ctx, c, p), r.checkPassword(ctx, c, p.layout))
	return settings, errors.Join(errs...)
}

// WatchConfig is like [Resolver.ResolveConfig] and keeps the Settings up to date. If
// a secret changes, the Live has new Settings, and the earlier ones remain unchanged.
// The configuration file is not read again, but the files that a value of an
// Algorithm class names are. If a value cannot be resolved, WatchConfig returns an
// error and no Live.
func (r *Resolver) WatchConfig(ctx context.Context, c *ConfigFile) (*Live[*Settings], error) {
	p, err := r.planConfig(c)
	if err == nil {
		err = errors.Join(r.checkDatabase(ctx, c, p), r.checkPassword(ctx, c, p.layout))
	}
	if err != nil {
		return nil, err
	}
	return watch(ctx, r, p.requests, func(secrets []Secret) *Settings {
		return p.settings(secrets, make([]error, len(secrets)))
	})
}

// configPlan is a configuration file and the values of it to resolve.
type configPlan struct {
	plain    Settings // without resolved values
	layout   atlassian.Layout
	items    []atlassian.Item
	requests []request // one per item
}

func (r *Resolver) planConfig(c *ConfigFile) (configPlan, error) {
	p, entries := atlassian.Product(c.Product), c.entries()
	layout := atlassian.LayoutOf(p)
	plan := configPlan{layout: layout, plain: Settings{Product: c.Product, Database: Database{
		Driver:   atlassian.Text(p, entries, layout.Driver),
		URL:      fileSecret(atlassian.Text(p, entries, layout.URL)),
		Username: atlassian.Text(p, entries, layout.Username),
		Schema:   atlassian.Text(p, entries, layout.Schema),

		properties: fileSecret(atlassian.DriverProperties(p, entries)),
	}}}
	plan.plain.Database.noURL = c.Product == Bitbucket && plan.plain.Database.URL.IsZero()
	var err error
	if plan.items, err = atlassian.Items(p, entries); err != nil {
		return plan, &Error{Source: fault.Printable(c.fileName()), Err: err}
	}
	plan.requests = make([]request, len(plan.items))
	for i, item := range plan.items {
		plan.requests[i] = r.itemRequest(c, item)
		plan.requests[i].source = c.source(item)
	}
	return plan, nil
}

// settings returns the Settings with the resolved values.
func (c configPlan) settings(secrets []Secret, errs []error) *Settings {
	settings := c.plain
	settings.Secrets = map[string]Secret{}
	fetched := !malformed(c.requests)
	for i := range secrets {
		item := c.items[i]
		var secret Secret
		if resolved := errs[i] == nil && (fetched || c.requests[i].settled()); resolved {
			secret = secrets[i]
			settings.Secrets[item.Key] = secret
		}
		// The URL, the user name and the driver can be references too.
		switch db := &settings.Database; item.Key {
		case c.layout.Password:
			db.Password = secret
		case c.layout.URL:
			db.URL = secret
		case c.layout.Username:
			db.Username = secret.Reveal()
		case c.layout.Driver:
			db.Driver = secret.Reveal()
		}
	}
	return &settings
}

// checkDatabase reports a file of Bitbucket that names no database, because its
// settings are in the product's environment. This is an error under Strict, and if
// the file has neither a user name nor a value to resolve. Otherwise it is a warning.
func (r *Resolver) checkDatabase(ctx context.Context, c *ConfigFile, p configPlan) error {
	if !p.plain.Database.noURL {
		return nil
	}
	_, user := c.Get(p.layout.Username)
	if err := atlassian.MissingURLError(); r.open().opts.Strict || !user && len(p.items) == 0 {
		return &Error{Source: fault.Printable(c.fileName()), Err: err}
	}
	r.open().log.WarnContext(ctx, "the file names no database: is it in the product's environment?",
		"source", c.Path, "missing", p.layout.URL)
	return nil
}

// checkPassword reports a file with a database and without a password: an error
// under Strict, otherwise a warning, because some databases need no password.
func (r *Resolver) checkPassword(
	ctx context.Context, c *ConfigFile, layout atlassian.Layout,
) error {
	_, found := c.Get(layout.Password)
	if url, _ := c.Get(layout.URL); found || url.IsZero() {
		return nil
	}
	if r.open().opts.Strict {
		err := fault.New(fault.NotReference, "%s is missing, which Strict forbids", layout.Password)
		return &Error{Source: fault.Printable(c.Path), Err: err}
	}
	r.open().log.WarnContext(ctx, "the file names a database and no password",
		"source", c.Path, "missing", layout.Password)
	return nil
}

// itemRequest parses a value of a configuration file according to its cipher class, and
// decodes the value if it contains the password itself.
func (r *Resolver) itemRequest(c *ConfigFile, item atlassian.Item) request {
	w := request{value: item.Text}
	substitution := atlassian.HasSubstitution(item.Value) || atlassian.HasSubstitution(item.Class)
	if c.Product == Bitbucket && substitution {
		w.err = atlassian.SubstitutionError()
		return w
	}
	if ref.IsPlaceholder(item.Text) {
		w.err = ref.PlaceholderError()
		return w
	}
	switch class := atlassian.CipherClassOf(item.Class); class {
	case atlassian.NoClass:
		w := r.newRequest("", item.Text)
		w.fromFile = true
		return w
	case atlassian.AWSClass, atlassian.VaultClass:
		w.ref, w.err = r.open().grammar.ParseCoordinates(item.Value) // with the prefix: it has two forms
		if w.err == nil && w.ref.Kind != class.Kind() {
			w.err = fault.New(fault.Syntax,
				"the value has coordinates of %s, but the class %s reads those of %s",
				ref.BackendName(w.ref.Kind), item.Class, ref.BackendName(class.Kind()))
		}
	case atlassian.CustomClass:
		w.ref = ref.Reference{Kind: ref.Custom, Class: item.Class, Text: item.Text}
		if p, ok := r.open().providers[item.Class]; !ok || p.ClassName == "" {
			w.err = unknownClass(item.Class)
		}
	case atlassian.Base64Class:
		text, err := cipher.Base64(item.Text)
		w.decoded, w.err = &text, err
	case atlassian.AlgorithmClass:
		w.ref = ref.Reference{Kind: ref.CipherFile, Class: item.Class, Text: item.Text,
			Dir: filepath.Dir(c.Path)}
		_, w.err = r.open().cipherFiles.algorithm(w.ref.Target()).Files(item.Text)
	}
	return w
}

// unknownClass quotes the class only if it looks like a class name, because a class
// and a password that are swapped would show the password.
func unknownClass(class string) error {
	if !atlassian.LooksLikeClass(class) {
		return fault.New(fault.Unsupported,
			"the cipher class is not a Java class name: are class and password swapped?")
	}
	return fault.New(fault.Unsupported, "the cipher class %q is not one of the products' own: "+
		"is it misspelled? A program can support a custom class with a Provider", class)
}
