package atlassian

import (
	"slices"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Layout is where a product keeps what is needed to reach its database.
type Layout struct {
	Driver, URL, Username, Schema string
	Properties                    string // given to the driver beside the URL: an entry, or what entries begin with
	Password                      string
	Class                         string // of the password
	AnyClass                      string // of every value with a prefix; "" if the product knows no such
	JNDI                          string // its presence means that the file holds no password
}

// hibernate is the layout of a *.cfg.xml.
var hibernate = Layout{
	Driver:   "hibernate.connection.driver_class",
	URL:      "hibernate.connection.url",
	Username: "hibernate.connection.username",
	Schema:   "hibernate.default_schema",
	Password: "hibernate.connection.password",
	Class:    "jdbc.password.decrypter.classname",
	JNDI:     "hibernate.connection.datasource",

	Properties: "hibernate.connection.",
}

// hibernatesOwn are the properties of a connection that Hibernate does not give
// to the driver, as far as they are not in the layout.
var hibernatesOwn = []string{"isolation", "autocommit", "pool_size", "provider_class", "release_mode", "handling_mode", "provider_disables_autocommit"}

// dbconfig is the layout of a dbconfig.xml.
var dbconfig = Layout{
	Driver:   "jdbc-datasource/driver-class",
	URL:      "jdbc-datasource/url",
	Username: "jdbc-datasource/username",
	Schema:   "schema-name",
	Password: "jdbc-datasource/password",
	Class:    "jdbc-datasource/atlassian-password-cipher-provider",
	JNDI:     "jndi-datasource",

	Properties: "jdbc-datasource/connection-properties",
}

// dotProperties is the layout of a bitbucket.properties.
var dotProperties = Layout{
	Driver:   "jdbc.driver",
	URL:      "jdbc.url",
	Username: "jdbc.user",
	Password: "jdbc.password",
	Class:    "jdbc.password.decrypter.classname",
	AnyClass: "encrypted-property.cipher.classname",
}

// LayoutOf returns the layout of a product's file.
func LayoutOf(p Product) Layout {
	switch p {
	case Jira:
		return dbconfig
	case Confluence, Bamboo, Crowd:
		return hibernate
	case Bitbucket:
		return dotProperties
	}
	return Layout{}
}

// Find returns the entry that the product uses for key.
func Find(p Product, entries []Entry, key string) (Entry, bool) {
	if i := Pick(p, entries, func(e Entry) bool { return e.Key == key }); i >= 0 {
		return entries[i], true
	}
	return Entry{}, false
}

// Pick returns the index of the entry that the product uses, of those that
// match: in .properties files and in a *.cfg.xml, which is read into a map, the
// last one, in dbconfig.xml the first. It returns -1 if none matches.
func Pick[E any](p Product, entries []E, match func(E) bool) int {
	found := -1
	for i, e := range entries {
		if match(e) && (found < 0 || p != Jira) {
			found = i
		}
	}
	return found
}

// Text returns the value of key without the white space around it, "" if the
// file has none or the product no such key.
func Text(p Product, entries []Entry, key string) string {
	if key == "" {
		return ""
	}
	e, _ := Find(p, entries, key)
	return strings.TrimSpace(e.Value)
}

// Properties returns what the file gives to the JDBC driver beside the URL, a line
// for each, name=value. tcpKeepAlive is left out, which Jira's set-up writes and
// Go does by itself.
func Properties(p Product, entries []Entry) string {
	l := LayoutOf(p)
	var lines []string
	add := func(name, value string) {
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name != "" && name != "tcpKeepAlive" {
			lines = append(lines, name+"="+strings.ReplaceAll(value, "\n", " "))
		}
	}
	switch {
	case p == Jira:
		for pair := range strings.SplitSeq(Text(p, entries, l.Properties), ";") {
			name, value, _ := strings.Cut(pair, "=")
			add(name, value)
		}
	case l.Properties != "":
		for _, e := range entries {
			name, ok := strings.CutPrefix(e.Key, l.Properties)
			if ok && !slices.Contains(hibernatesOwn, name) && !slices.Contains([]string{l.Driver, l.URL, l.Username, l.Password, l.JNDI}, e.Key) {
				add(name, e.Value)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// CheckSource refuses a file whose data source lives in the application server.
func CheckSource(p Product, entries []Entry) error {
	jndi := LayoutOf(p).JNDI
	if jndi != "" && slices.ContainsFunc(entries, func(e Entry) bool {
		return e.Key == jndi || strings.HasPrefix(e.Key, jndi+"/")
	}) {
		return fault.New(fault.Unsupported, "it uses a JNDI data source (%s): the password is in the application server", jndi)
	}
	return nil
}

// CipherClass is what a cipher class reads.
type CipherClass uint8

// The stores. The zero Store means that no class is named.
const (
	NoClass CipherClass = iota
	AWSClass
	VaultClass
	Base64Class
	AlgorithmClass
	CustomClass
)

// OnlyAESClass is Crowd's algorithm class, which takes no other cipher than AES.
const OnlyAESClass = "com.atlassian.db.config.password.ciphers.algorithm.AesOnlyAlgorithmCipher"

// CipherClassOf returns the store that a class names.
func CipherClassOf(class string) CipherClass {
	switch class {
	case "":
		return NoClass
	case "com.atlassian.secrets.store.aws.AwsSecretsManagerStore":
		return AWSClass
	case "com.atlassian.secrets.store.vault.VaultSecretStore":
		return VaultClass
	case "com.atlassian.secrets.store.base64.Base64SecretStore",
		"com.atlassian.db.config.password.ciphers.base64.Base64Cipher":
		return Base64Class
	case "com.atlassian.secrets.store.algorithm.AlgorithmSecretStore",
		"com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher", OnlyAESClass:
		return AlgorithmClass
	}
	return CustomClass
}

// LooksLikeClass reports whether text can be the name of a Java class in a
// package.
func LooksLikeClass(text string) bool {
	segments := strings.Split(text, ".")
	for _, s := range segments {
		for i, c := range s {
			if c != '_' && c != '$' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
				return false
			}
		}
		if s == "" {
			return false
		}
	}
	return len(segments) > 1
}

// Kind returns the backend whose coordinates a store takes, or zero.
func (s CipherClass) Kind() ref.Kind {
	switch s {
	case AWSClass:
		return ref.AWS
	case VaultClass:
		return ref.Vault
	}
	return 0
}

// Item is one value that has to be resolved.
type Item struct {
	Entry
	Class string
	// Text is what the class is given: the value, without the prefix where the
	// product takes it off.
	Text string
}

// Items lists the values of a file that have to be resolved: the password, and
// in .properties every value with a prefix, and what else is needed to reach the
// database if it has a placeholder.
func Items(p Product, entries []Entry) ([]Item, error) {
	l := LayoutOf(p)
	if l == (Layout{}) {
		return nil, fault.New(fault.Unsupported, "the product %q is not known", p)
	}
	if err := CheckSource(p, entries); err != nil {
		return nil, err
	}
	for _, key := range []string{l.Password, l.Class, l.URL, l.Username, l.Driver, l.Schema} {
		if err := ambiguous(p, entries, key); err != nil {
			return nil, err
		}
	}
	password, ok := Find(p, entries, l.Password)
	class, named := Find(p, entries, l.Class)
	class.Value = strings.TrimSpace(class.Value)
	switch {
	case !ok && named && class.Value != "":
		return nil, fault.New(fault.Syntax, "line %d: %s names the class of a password, but %s is missing", class.Line, l.Class, l.Password)
	case l.AnyClass != "":
		return marked(l, entries, class.Value), nil
	case !ok:
		return nil, nil
	}
	return []Item{{password, class.Value, password.Value}}, nil
}

// marked lists what has to be resolved where every value can have a prefix.
func marked(l Layout, entries []Entry, passwordClass string) []Item {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		last[e.Key] = i
	}
	anyClass := ""
	if i, ok := last[l.AnyClass]; ok {
		anyClass = strings.TrimSpace(entries[i].Value)
	}
	var items []Item
	for i, e := range entries {
		if last[e.Key] != i {
			continue
		}
		item := Item{e, "", e.Value}
		body, mark := cutMark(e.Value)
		switch {
		case mark == exact && anyClass != "":
			item.Class, item.Text = anyClass, body
		case e.Key == l.Password:
			item.Class = passwordClass
		case mark == none && !(HoldsPlaceholder(e.Value) && slices.Contains([]string{l.URL, l.Username, l.Driver}, e.Key)):
			continue
		}
		items = append(items, item) // with a misspelt mark and no class it will be refused
	}
	return items
}

// mark is whether a value has a prefix.
type mark int

const (
	none mark = iota
	exact
	misspelt // no prefix to the product, but meant as one
)

// cutMark takes the prefix off a value. What follows it is left as it is.
func cutMark(value string) (body string, m mark) {
	text := strings.TrimLeftFunc(value, unicode.IsSpace)
	if body, ok := ref.CutPrefix(text); ok {
		return body, exact
	}
	const n = len("{ENC}")
	if len(text) >= n && (strings.EqualFold(text[:n], "{ENC}") || strings.EqualFold(text[:n], "<ENC>")) {
		return "", misspelt
	}
	return "", none
}

// ambiguous refuses two different values for one key in an XML file: which of
// them the product takes is not documented, and one is a wrong password, or
// takes the password elsewhere.
func ambiguous(p Product, entries []Entry, key string) error {
	if p == Bitbucket || key == "" {
		return nil
	}
	first := -1
	for i, e := range entries {
		switch {
		case e.Key != key:
		case first < 0:
			first = i
		case e.Value != entries[first].Value:
			return fault.New(fault.Syntax, "%s stands on line %d and, with another value, on line %d: remove one", key, entries[first].Line, e.Line)
		}
	}
	return nil
}
