package main

import (
	"cmp"
	"errors"
	"flag"
	"net/url"
	"os"
	"strings"

	"github.com/seed74218947/secretref"
)

// storeFlags say where a keyring is and what opens it.
type storeFlags struct {
	store, rootKeyFile, previousFile string
	passwordFile                     string
	timeout                          timeout
}

// The variables that stand for flags.
const (
	storeVariable        = "SECRETREF_STORE"
	rootKeyVariable      = "SECRETREF_ROOT_KEY_FILE"
	passwordFileVariable = "SECRETREF_STORE_PASSWORD_FILE"
)

// register adds the flags to a set. What they hold already remains unless they
// are given.
func (o *storeFlags) register(f *flag.FlagSet) {
	f.StringVar(&o.store, "store", cmp.Or(o.store, os.Getenv(storeVariable)), "")
	f.StringVar(&o.rootKeyFile, "root-key-file", cmp.Or(o.rootKeyFile, os.Getenv(rootKeyVariable)), "")
	f.StringVar(&o.previousFile, "previous-root-key-file", o.previousFile, "")
	f.StringVar(&o.passwordFile, "store-password-file", o.passwordFile, "")
	f.Var(&o.timeout, "timeout", "")
}

const storeFlagsHelp = `  -store S                    the keyring's store: a file, or
                              postgres://USER@HOST:PORT/DATABASE, or
                              mysql://USER@HOST:PORT/DATABASE (also mariadb://)
  -root-key-file F            a file with the root key, or with a reference to it.
                              A database needs it; a store that is a file S has
                              its root key in S.key otherwise
  -previous-root-key-file F   the former root key, while it is being changed
  -store-password-file F      a file with the database's password, or with a
                              reference to it, on one line`

const storeNotes = `
The URL of a database has no password in it. The file of -store-password-file
has it, or the variable SECRETREF_STORE_PASSWORD, for PostgreSQL also PGPASSWORD
or .pgpass. File and variable may hold a reference to the password, and so may
the URL in its place, percent-encoded. Where the flags are not given the variables
SECRETREF_STORE, SECRETREF_ROOT_KEY_FILE and SECRETREF_STORE_PASSWORD_FILE stand
for them. Parameters behind a ? are the driver's, as sslmode=verify-full
for PostgreSQL; for MySQL they are tls (true, preferred, skip-verify), ssl-ca,
socket, timeout, readTimeout, writeTimeout and collation. Files that hold a key,
a password or a token must not be open to others: chmod o-rwx F.`

// location parses -store and checks that the other flags go with it.
func (o *storeFlags) location() (location, error) {
	switch {
	case o.store == "" && o.given():
		return location{}, &usageError{"-root-key-file, -previous-root-key-file and -store-password-file need -store"}
	case o.store == "":
		return location{}, &usageError{"-store is missing: the file or the URL of the keyring's store"}
	case o.previousFile != "" && o.rootKeyFile == "":
		return location{}, &usageError{"-previous-root-key-file needs -root-key-file"}
	}
	l, err := parseLocation(o.store)
	if err == nil && l.dialect != 0 && o.rootKeyFile == "" {
		return location{}, &usageError{"a database needs -root-key-file: make a root key with \"secretref keys new-root-key FILE\", and keep it outside of the database"}
	}
	if err == nil && l.dialect == 0 && o.passwordFile != "" {
		return location{}, &usageError{"-store-password-file is for a database, and -store is a file"}
	}
	l.passwordFile = o.passwordFile
	return l, err
}

// given reports whether there is a flag that says where the keyring is, or what
// opens it. A root key may be in the environment of commands without a keyring.
func (o *storeFlags) given() bool {
	root := o.rootKeyFile
	if root == os.Getenv(rootKeyVariable) {
		root = ""
	}
	return o.store+root+o.previousFile+o.passwordFile != ""
}

// location is where a keyring's store is.
type location struct {
	dialect  secretref.Dialect // 0: a file
	name     string            // the file's path, or the URL without password and parameters, for people
	url      string            // without the password
	password string            // the reference in the URL's place for it, or ""

	passwordFile string // that was given, or ""
}

// String returns the name.
func (l location) String() string { return l.name }

// parseLocation tells files from URLs. Its errors never quote a URL: any part of
// one that is not understood may be a password.
func parseLocation(store string) (location, error) {
	scheme, rest, ok := strings.Cut(store, "://")
	if !ok {
		return location{name: store}, nil
	}
	var l location
	switch strings.ToLower(scheme) {
	case "postgres", "postgresql":
		scheme, l.dialect = "postgres", secretref.PostgreSQL
	case "mysql", "mariadb":
		scheme, l.dialect = "mysql", secretref.MySQL
	default:
		return location{}, &usageError{"-store is a URL of an unknown kind: give a file, or a URL that begins with postgres:// or mysql://"}
	}
	end := strings.IndexAny(rest+"/", "/?#")
	authority, tail := rest[:end], rest[end:]
	path, query, _ := strings.Cut(tail, "?")
	userinfo, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, hosts = authority[:i], authority[i+1:]
	}
	user, password, _ := strings.Cut(userinfo, ":")
	if strings.ContainsAny(tail, "@#") || !plainHosts(hosts) {
		return location{}, notUnderstood(scheme)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return location{}, notUnderstood(scheme)
	}
	for name := range params {
		if namesPassword(name) {
			return location{}, visible()
		}
	}
	if l.password, err = passwordReference(password); err != nil {
		return location{}, err
	}
	if user != "" {
		hosts = user + "@" + hosts
	}
	l.name = scheme + "://" + hosts + path
	l.url = scheme + "://" + hosts + tail
	return l, nil
}

func notUnderstood(scheme string) error {
	return &usageError{"the URL of the store is not understood: write " + scheme + "://USER@HOST:PORT/DATABASE, and %40, %23 and %2F for @, # and / in a name"}
}

func visible() error {
	return &usageError{"a password in the URL is seen by everyone who lists processes: remove it there, and set SECRETREF_STORE_PASSWORD to it or to a reference"}
}

// plainHosts reports whether all ports are numbers: what else stands there may
// be a password whose user info has no end.
func plainHosts(hosts string) bool {
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

func namesPassword(parameter string) bool {
	parameter = strings.ToLower(parameter)
	return strings.Contains(parameter, "password") || strings.Contains(parameter, "passwd") || strings.Contains(parameter, "pwd")
}

// passwordReference returns the reference that stands percent-encoded in a URL
// where the password does.
func passwordReference(encoded string) (string, error) {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return "", &usageError{"the password in the URL of the store is not percent-encoded: write %25 for %"} // err quotes it
	}
	_, err = secretref.Parse(text)
	switch {
	case text == "":
		return "", nil
	case errors.Is(err, secretref.ErrNotReference):
		return "", visible()
	case err != nil:
		return "", &usageError{"the password in the URL is meant as a reference: " + message(err)}
	}
	return text, nil
}
