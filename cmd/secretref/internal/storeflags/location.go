// Package storeflags has the flags that locate a keyring's store and the secrets that
// open it, and opens the keyring.
package storeflags

import (
	"cmp"
	"errors"
	"flag"
	"net/url"
	"os"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// Flags locate a keyring's store, its root keys and the password of its database.
type Flags struct {
	Store, RootKeyFile, PreviousRootKeyFile string
	PasswordFile                            string
	Timeout                                 ui.Timeout
}

// The environment variables that provide defaults for the flags.
const (
	storeVariable        = "SECRETREF_STORE"
	rootKeyVariable      = "SECRETREF_ROOT_KEY_FILE"
	passwordFileVariable = "SECRETREF_STORE_PASSWORD_FILE"
)

// Register adds the flags to a flag set. Their current values are the defaults.
func (o *Flags) Register(f *flag.FlagSet) {
	f.StringVar(&o.Store, "store", cmp.Or(o.Store, os.Getenv(storeVariable)), "")
	f.StringVar(&o.RootKeyFile, "root-key-file", cmp.Or(o.RootKeyFile, os.Getenv(rootKeyVariable)),
		"")
	f.StringVar(&o.PreviousRootKeyFile, "previous-root-key-file", o.PreviousRootKeyFile, "")
	f.StringVar(&o.PasswordFile, "store-password-file", o.PasswordFile, "")
	f.Var(&o.Timeout, "timeout", "")
}

// Help describes the flags in the help of commands that use a keyring.
const Help = `  -store S                    the keyring's store: a file,
                              postgres://USER@HOST:PORT/DATABASE or
                              mysql://USER@HOST:PORT/DATABASE (also mariadb://)
  -root-key-file F            a file with the root key or a reference to it.
                              Required for a database; by default, the root key of
                              a store file S is in S.key
  -previous-root-key-file F   the old root key, while it is being changed
  -store-password-file F      a file with the database password or a reference to
                              it, on one line`

// Notes explains the flags in the help of commands that manage a keyring.
const Notes = `
The URL of a database must not contain a password. Put the password into the file
of -store-password-file or into SECRETREF_STORE_PASSWORD; PostgreSQL also uses
PGPASSWORD and .pgpass. The file and the variable may contain a reference to the
password instead, and so may the password part of the URL, percent-encoded. The
variables SECRETREF_STORE, SECRETREF_ROOT_KEY_FILE and SECRETREF_STORE_PASSWORD_FILE
are the defaults of the flags. The parameters of a PostgreSQL URL are those of the
driver, such as sslmode=verify-full; those of a MySQL URL are tls (true, preferred,
skip-verify), ssl-ca, socket, timeout, readTimeout, writeTimeout and collation.
Files with a key, a password or a token must not be accessible to other users:
chmod o-rwx F.`

// Location parses -store and checks that the other flags are consistent with it.
func (o *Flags) Location() (Location, error) {
	switch {
	case o.Store == "" && o.Given():
		return Location{}, ui.NewUsageError("-root-key-file, -previous-root-key-file and " +
			"-store-password-file need -store")
	case o.Store == "":
		return Location{}, ui.NewUsageError("-store is missing: give the file or the URL of the " +
			"keyring's store")
	case o.PreviousRootKeyFile != "" && o.RootKeyFile == "":
		return Location{}, ui.NewUsageError("-previous-root-key-file needs -root-key-file")
	}
	l, err := parseLocation(o.Store)
	if err == nil && l.Dialect != 0 && o.RootKeyFile == "" {
		return Location{}, ui.NewUsageError("a database needs -root-key-file: create a root key " +
			"with \"secretref keys new-root-key FILE\" and keep it outside the database")
	}
	if err == nil && l.Dialect == 0 && o.PasswordFile != "" {
		return Location{}, ui.NewUsageError("-store-password-file is for a database, but -store " +
			"is a file")
	}
	l.passwordFile = o.PasswordFile
	return l, err
}

// Given reports whether any of the flags is set. A root key from the environment does
// not count, since commands without a keyring ignore it.
func (o *Flags) Given() bool {
	root := o.RootKeyFile
	if root == os.Getenv(rootKeyVariable) {
		root = ""
	}
	return o.Store+root+o.PreviousRootKeyFile+o.PasswordFile != ""
}

// Location is the file or database of a keyring's store.
type Location struct {
	Dialect  secretref.Dialect // 0: a file
	Name     string            // the file's path, or the URL without password and parameters
	url      string            // without the password
	password string            // the reference in the password part of the URL, or ""

	passwordFile string // from -store-password-file, or ""
}

// String returns the name.
func (l Location) String() string { return l.Name }

// parseLocation distinguishes files from URLs. Its errors never quote a URL: any part
// of a malformed one may be a password.
func parseLocation(store string) (Location, error) {
	scheme, rest, ok := strings.Cut(store, "://")
	if !ok {
		return Location{Name: store}, nil
	}
	var l Location
	switch strings.ToLower(scheme) {
	case "postgres", "postgresql":
		scheme, l.Dialect = "postgres", secretref.PostgreSQL
	case "mysql", "mariadb":
		scheme, l.Dialect = "mysql", secretref.MySQL
	default:
		return Location{}, ui.NewUsageError("unknown scheme in -store: give a file, or a URL " +
			"that starts with postgres:// or mysql://")
	}
	end := strings.IndexAny(rest+"/", "/?#")
	authority, tail := rest[:end], rest[end:]
	path, query, _ := strings.Cut(tail, "?")
	userinfo, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, hosts = authority[:i], authority[i+1:]
	}
	user, password, _ := strings.Cut(userinfo, ":")
	if strings.ContainsAny(tail, "@#") || !portsAreNumeric(hosts) {
		return Location{}, malformedURLError(scheme)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return Location{}, malformedURLError(scheme)
	}
	for name := range params {
		if isPasswordParameter(name) {
			return Location{}, passwordInURLError()
		}
	}
	if l.password, err = parsePasswordReference(password); err != nil {
		return Location{}, err
	}
	if user != "" {
		hosts = user + "@" + hosts
	}
	l.Name = scheme + "://" + hosts + path
	l.url = scheme + "://" + hosts + tail
	return l, nil
}

func malformedURLError(scheme string) error {
	return ui.NewUsageError("malformed URL in -store: write " + scheme +
		"://USER@HOST:PORT/DATABASE, with %40, %23 and %2F for @, # and / in a name")
}

func passwordInURLError() error {
	return ui.NewUsageError("the URL in -store contains a password, which other users can see in " +
		"the process list: remove it and set SECRETREF_STORE_PASSWORD to the password or a " +
		"reference to it")
}

// portsAreNumeric reports whether all ports are numbers. Other text may be a password
// whose "@" is missing.
func portsAreNumeric(hosts string) bool {
	for host := range strings.SplitSeq(hosts, ",") {
		if strings.HasPrefix(host, "[") {
			host = host[strings.IndexByte(host, ']')+1:] // IPv6
		}
		if _, port, ok := strings.Cut(host, ":"); ok && strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	return true
}

func isPasswordParameter(parameter string) bool {
	parameter = strings.ToLower(parameter)
	return strings.Contains(parameter, "password") || strings.Contains(parameter, "passwd") ||
		strings.Contains(parameter, "pwd")
}

// parsePasswordReference decodes the reference in the password part of a URL.
func parsePasswordReference(encoded string) (string, error) {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		// err quotes it
		return "", ui.NewUsageError("the password in the URL of the store is not " +
			"percent-encoded: write %25 for %")
	}
	_, err = secretref.Parse(text)
	switch {
	case text == "":
		return "", nil
	case errors.Is(err, secretref.ErrNotReference):
		return "", passwordInURLError()
	case err != nil:
		return "", ui.NewUsageError("malformed reference in the password part of the URL: " +
			ui.Message(err))
	}
	return text, nil
}
