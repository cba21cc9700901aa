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

// checkForm finds in how a reference is written what the products may refuse.
func (x *checkedValue) checkForm(value string) {
	text := strings.TrimSpace(value)
	body, prefixed := ref.CutPrefix(text)
	x.unprefixed = !prefixed && !x.standalone
	if strings.HasPrefix(text, "<") || prefixed && strings.HasPrefix(strings.TrimSpace(body), "<") {
		x.addDoubt("the angle form is documented nowhere: write {ENC}{…}")
	}
	switch ref := x.ref.(type) {
	case secretref.VaultReference:
		if strings.HasSuffix(ref.Endpoint, "/") {
			x.addDoubt("the endpoint ends in a slash: remove it, the product may ask for a path with two")
		}
		if token := os.Getenv(vaultkv.TokenVariable); ref.AuthenticationType == secretref.VaultToken && token != strings.TrimSpace(token) {
			x.addDoubt("there is white space around the token in %s, which the product may not remove", vaultkv.TokenVariable)
		}
		x.checkClearText(ref.Endpoint)
	case secretref.AWSReference:
		x.checkClearText(ref.EndpointOverride)
	}
}

// checkClearText tells when token and secret travel readably.
func (x *checkedValue) checkClearText(endpoint string) {
	if u, err := url.Parse(endpoint); err == nil && strings.EqualFold(u.Scheme, "http") && !httpguard.Loopback(u.Hostname()) {
		x.addNote("the token and the secret travel in clear text: use https")
	}
}

// checkPlacement finds what the product may refuse in the way a reference stands in its
// file.
func (x *checkedValue) checkPlacement(c *secretref.ConfigFile, layout atlassian.Layout, item atlassian.Item) {
	_, prefixed := ref.CutPrefix(strings.TrimSpace(item.Value))
	class := cmp.Or(layout.AnyClass, layout.Class)
	if layout.AnyClass != "" && !prefixed {
		class = layout.Class
	}
	switch {
	case item.Class == "" && layout.AnyClass != "" && !prefixed:
		x.addDoubt("without {ENC} before it and without %s the product takes its text for the password: put {ENC} before it", layout.Class)
	case item.Class == "":
		x.addDoubt("the file names no cipher class, so the product takes its text for the password: set %s to %s", class,
			cmp.Or(config.ClassFor(x.ref), "the class that reads it"))
	case prefixed && layout.AnyClass == "":
		x.addDoubt("in this file the product wants the coordinates without a prefix: remove {ENC}")
	case prefixed && item.Text == item.Value:
		// Only with the older key of bitbucket.properties the value keeps its prefix.
		x.addDoubt("with %s the product wants the coordinates without a prefix: name the class in %s instead", layout.Class, layout.AnyClass)
	}
	for _, key := range []string{layout.Class, layout.AnyClass} {
		if named, ok := c.Get(key); ok && key != "" && strings.TrimSpace(named.Reveal()) == item.Class && named.Reveal() != item.Class {
			x.addDoubt("there is white space around the class name in %s: remove it", key)
		}
	}
}

// checkCipher finds what is to be said about a password that the file itself
// holds, or files that it leads to.
func (x *checkedValue) checkCipher(c *secretref.ConfigFile, item atlassian.Item, store atlassian.CipherClass) {
	switch store {
	case atlassian.Base64Class:
		x.addNote("Base64 hides the password from a glance, and from nobody who means to read it")
	case atlassian.AlgorithmClass:
		files, err := cipher.Algorithm{Dir: filepath.Dir(c.Path)}.Files(item.Text)
		if err != nil {
			return // resolving it says so
		}
		for _, f := range files {
			if f.Relative {
				x.addDoubt("%s is named by a path that is not absolute: the product may look for it elsewhere than beside its configuration file", f.Path)
			}
			if info, err := os.Stat(f.Path); err == nil && runtime.GOOS != "windows" && info.Mode()&0o007 != 0 {
				x.addNote("%s can be opened by everybody on this machine: chmod o-rwx %[1]s", f.Path)
			}
		}
	}
}

// checkKeyring finds what is to be said about a reference to a keyring: whether
// one is given, and why it cannot be opened.
func (x *checkedValue) checkKeyring(given bool, lacking error) {
	const own = "keyring references are this library's own, the products do not know them"
	if _, ok := x.ref.(secretref.KeyringReference); !ok {
		return
	}
	if lacking != nil && x.resolve != nil {
		x.resolve = func(context.Context) (secretref.Secret, error) { return secretref.Secret{}, lacking }
	}
	if x.standalone && given {
		x.addNote(own)
	} else {
		x.addDoubt(own)
	}
}

func unknownClassText(class string) string {
	if !atlassian.LooksLikeClass(class) { // it may be the password
		return "what stands in the place of the cipher class is not the name of one: are class and password swapped?"
	}
	text := fmt.Sprintf("the cipher class %q cannot be asked from here, only by the product, which needs it on its class path", class)
	if strings.HasPrefix(class, "com.atlassian.") {
		text += "; the products' own are com.atlassian.secrets.store.aws.AwsSecretsManagerStore and " +
			"com.atlassian.secrets.store.vault.VaultSecretStore: is the name misspelt?"
	}
	return text
}

// wrongClassText says which class reads coordinates that stand under another one.
func wrongClassText(item atlassian.Item, layout atlassian.Layout, ref secretref.Reference) string {
	text := fmt.Sprintf("the cipher class %s does not read these coordinates, %s does", item.Class, config.ClassFor(ref))
	if item.Text != item.Value {
		text += fmt.Sprintf("; %s is for all values with a prefix, so that they must be in one store", layout.AnyClass)
	}
	return text
}
