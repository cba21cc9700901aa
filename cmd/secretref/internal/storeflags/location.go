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

// Flags say where a keyring is and what opens it.
type Flags struct {
	Store, RootKeyFile, PreviousRootKeyFile string
	PasswordFile                            string
	Timeout                                 ui.Timeout
}

// The variables that stand for flags.
const (
	storeVariable        = "SECRETREF_STORE"
	rootKeyVariable      = "SECRETREF_ROOT_KEY_FILE"
	passwordFileVariable = "SECRETREF_STORE_PASSWORD_FILE"
)

// Register adds the flags to a set. What they hold already remains unless they
// are given.
func (o *Flags) Register(f *flag.FlagSet) {
	f.StringVar(&o.Store, "store", cmp.Or(o.Store, os.Getenv(storeVariable)), "")
	f.StringVar(&o.RootKeyFile, "root-key-file", cmp.Or(o.RootKeyFile, os.Getenv(rootKeyVariable)), "")
	f.StringVar(&o.PreviousRootKeyFile, "previous-root-key-file", o.PreviousRootKeyFile, "")
	f.StringVar(&o.PasswordFile, "store-password-file", o.PasswordFile, "")
	f.Var(&o.Timeout, "timeout", "")
}

const Help = `  -store S                    the keyring's store: a file, or
                              postgres://USER@HOST:PORT/DATABASE, or
                              mysql://USER@HOST:PORT/DATABASE (also mariadb://)
  -root-key-file F            a file with the root key, or with a reference to it.
                              A database needs it; a store that is a file S has
                              its root key in S.key otherwise
  -previous-root-key-file F   the former root key, while it is being changed
  -store-password-file F      a file with the database's password, or with a
                              reference to it, on one line`

const Notes = `
The URL of a database has no password in it. The file of -store-password-file
has it, or the variable SECRETREF_STORE_PASSWORD, for PostgreSQL also PGPASSWORD
or .pgpass. File and variable may hold a reference to the password, and so may
the URL in its place, percent-encoded. Where the flags are not given the variables
SECRETREF_STORE, SECRETREF_ROOT_KEY_FILE and SECRETREF_STORE_PASSWORD_FILE stand
for them. Parameters behind a ? are the driver's, as sslmode=verify-full
for PostgreSQL; for MySQL they are tls (true, preferred, skip-verify), ssl-ca,
socket, timeout, readTimeout, writeTimeout and collation. Files that hold a key,
a password or a token must not be open to others: chmod o-rwx F.`

// Location parses -store and checks that the other flags go with it.
func (o *Flags) Location() (Location, error) {
	switch {
	case o.Store == "" && o.Given():
		return Location{}, ui.NewUsageError("-root-key-file, -previous-root-key-file and -store-password-file need -store")
	case o.Store == "":
		return Location{}, ui.NewUsageError("-store is missing: the file or the URL of the keyring's store")
	case o.PreviousRootKeyFile != "" && o.RootKeyFile == "":
		return Location{}, ui.NewUsageError("-previous-root-key-file needs -root-key-file")
	}
	l, err := parseLocation(o.Store)
	if err == nil && l.Dialect != 0 && o.RootKeyFile == "" {
		return Location{}, ui.NewUsageError("a database needs -root-key-file: make a root key with \"secretref keys new-root-key FILE\", and keep it outside of the database")
	}
	if err == nil && l.Dialect == 0 && o.PasswordFile != "" {
		return Location{}, ui.NewUsageError("-store-password-file is for a database, and -store is a file")
	}
	l.passwordFile = o.PasswordFile
	return l, err
}

// Given reports whether there is a flag that says where the keyring is, or what
// opens it. A root key may be in the environment of commands without a keyring.
func (o *Flags) Given() bool {
	root := o.RootKeyFile
	if root == os.Getenv(rootKeyVariable) {
		root = ""
	}
	return o.Store+root+o.PreviousRootKeyFile+o.PasswordFile != ""
}

// Location is where a keyring's store is.
type Location struct {
	Dialect  secretref.Dialect // 0: a file
	Name     string            // the file's path, or the URL without password and parameters, for people
	url      string            // without the password
	password string            // the reference in the URL's place for it, or ""

	passwordFile string // that was given, or ""
}

// String returns the name.
func (l Location) String() string { return l.Name }

// parseLocation tells files from URLs. Its errors never quote a URL: any part of
// one that is not understood may be a password.
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
		return Location{}, ui.NewUsageError("-store is a URL of an unknown kind: give a file, or a URL that begins with postgres:// or mysql://")
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
	return ui.NewUsageError("the URL of the store is not understood: write " + scheme + "://USER@HOST:PORT/DATABASE, and %40, %23 and %2F for @, # and / in a name")
}

func passwordInURLError() error {
	return ui.NewUsageError("a password in the URL is seen by everyone who lists processes: remove it there, and set SECRETREF_STORE_PASSWORD to it or to a reference")
}

// portsAreNumeric reports whether all ports are numbers: what else stands there may
// be a password whose user info has no end.
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
	return strings.Contains(parameter, "password") || strings.Contains(parameter, "passwd") || strings.Contains(parameter, "pwd")
}

// parsePasswordReference returns the reference that stands percent-encoded in a URL
// where the password does.
func parsePasswordReference(encoded string) (string, error) {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return "", ui.NewUsageError("the password in the URL of the store is not percent-encoded: write %25 for %") // err quotes it
	}
	_, err = secretref.Parse(text)
	switch {
	case text == "":
		return "", nil
	case errors.Is(err, secretref.ErrNotReference):
		return "", passwordInURLError()
	case err != nil:
		return "", ui.NewUsageError("the password in the URL is meant as a reference: " + ui.Message(err))
	}
	return text, nil
}
