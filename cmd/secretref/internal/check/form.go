package check

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/cipher"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
)

// checkForm looks for spellings of a reference that the products may reject.
func (x *checkedValue) checkForm(value string) {
	text := strings.TrimSpace(value)
	body, prefixed := ref.CutPrefix(text)
	x.unprefixed = !prefixed && !x.standalone
	if strings.HasPrefix(text, "<") || prefixed && strings.HasPrefix(strings.TrimSpace(body), "<") {
		x.addDoubt("the angle form is undocumented: write {ENC}{…}")
	}
	switch ref := x.ref.(type) {
	case secretref.VaultReference:
		if strings.HasSuffix(ref.Endpoint, "/") {
			x.addDoubt("the endpoint ends in a slash: remove it, since the product may request a " +
				"path with two slashes")
		}
		if token := os.Getenv(vaultkv.TokenVariable); ref.AuthenticationType == secretref.VaultToken &&
			token != strings.TrimSpace(token) {
			x.addDoubt("there is white space around the token in %s, and the product may not "+
				"remove it", vaultkv.TokenVariable)
		}
		x.checkClearText(ref.Endpoint)
	case secretref.AWSReference:
		x.checkClearText(ref.EndpointOverride)
	}
}

// checkClearText notes an endpoint to which token and secret are sent unencrypted.
func (x *checkedValue) checkClearText(endpoint string) {
	if u, err := url.Parse(endpoint); err == nil && strings.EqualFold(u.Scheme, "http") &&
		!httpguard.Loopback(u.Hostname()) {
		x.addNote("the token and the secret are sent in clear text: use https")
	}
}

// checkPlacement looks for reasons why the product may reject a reference in this
// entry of the file.
func (x *checkedValue) checkPlacement(c *secretref.ConfigFile, layout atlassian.Layout,
	item atlassian.Item) {
	_, prefixed := ref.CutPrefix(strings.TrimSpace(item.Value))
	class := cmp.Or(layout.AnyClass, layout.Class)
	if layout.AnyClass != "" && !prefixed {
		class = layout.Class
	}
	switch {
	case item.Class == "" && layout.AnyClass != "" && !prefixed:
		x.addDoubt("without {ENC} before it and without %s, the product uses its text as the "+
			"password: put {ENC} before it", layout.Class)
	case item.Class == "":
		x.addDoubt("the file names no cipher class, so the product uses its text as the "+
			"password: set %s to %s", class,
			cmp.Or(config.ClassFor(x.ref), "the class that reads it"))
	case prefixed && layout.AnyClass == "":
		x.addDoubt("in this file the product expects the coordinates without a prefix: " +
			"remove {ENC}")
	case prefixed && item.Text == item.Value:
		// Only the older key of bitbucket.properties leaves the prefix in the value.
		x.addDoubt("with %s the product expects the coordinates without a prefix: name the class "+
			"in %s instead", layout.Class, layout.AnyClass)
	}
	for _, key := range []string{layout.Class, layout.AnyClass} {
		if named, ok := c.Get(key); ok && key != "" &&
			strings.TrimSpace(named.Reveal()) == item.Class && named.Reveal() != item.Class {
			x.addDoubt("there is white space around the class name in %s: remove it", key)
		}
	}
}

// checkCipher looks at a password that is in the file itself or in files that it
// names.
func (x *checkedValue) checkCipher(c *secretref.ConfigFile, item atlassian.Item,
	store atlassian.CipherClass) {
	switch store {
	case atlassian.Base64Class:
		x.addNote("Base64 only hides the password from a casual glance; anyone can decode it")
	case atlassian.AlgorithmClass:
		files, err := cipher.Algorithm{Dir: filepath.Dir(c.Path)}.Files(item.Text)
		if err != nil {
			return // resolving reports it
		}
		for _, f := range files {
			if f.Relative {
				x.addDoubt("the path of %s is not absolute: the product may not look for it next "+
					"to its configuration file", f.Path)
			}
			if info, err := os.Stat(f.Path); err == nil && runtime.GOOS != "windows" &&
				info.Mode()&0o007 != 0 {
				x.addNote("every user of this machine can open %s: chmod o-rwx %[1]s", f.Path)
			}
		}
	}
}

// checkKeyring looks at a reference to a keyring. The argument given reports whether
// there is -store, and lacking is why the keyring cannot be opened, or nil.
func (x *checkedValue) checkKeyring(given bool, lacking error) {
	const own = "only this library reads keyring references, the products do not"
	if _, ok := x.ref.(secretref.KeyringReference); !ok {
		return
	}
	if lacking != nil && x.resolve != nil {
		x.resolve = func(context.Context) (secretref.Secret, error) {
			return secretref.Secret{},
				lacking
		}
	}
	if x.standalone && given {
		x.addNote(own)
	} else {
		x.addDoubt(own)
	}
}

func unknownClassText(class string) string {
	if !atlassian.LooksLikeClass(class) { // it may be the password
		return "the cipher class is not a Java class name: are class and password swapped?"
	}
	text := fmt.Sprintf("the cipher class %q cannot be used here: only the product can load it, "+
		"from its class path", class)
	if strings.HasPrefix(class, "com.atlassian.") {
		text += "; the products' own classes are " +
			"com.atlassian.secrets.store.aws.AwsSecretsManagerStore and " +
			"com.atlassian.secrets.store.vault.VaultSecretStore: is the name misspelled?"
	}
	return text
}

// wrongClassText names the class that reads the coordinates, since the configured
// class does not.
func wrongClassText(item atlassian.Item, layout atlassian.Layout, ref secretref.Reference) string {
	text := fmt.Sprintf("the cipher class %s does not read these coordinates, %s does", item.Class,
		config.ClassFor(ref))
	if item.Text != item.Value {
		text += fmt.Sprintf("; %s applies to all values with a prefix, so they must all be in "+
			"one store", layout.AnyClass)
	}
	return text
}
