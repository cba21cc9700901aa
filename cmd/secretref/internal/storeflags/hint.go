package storeflags

import (
	"errors"
	"net"
	"strings"

	"github.com/seed74218947/secretref"
)

// KeyringHint returns how to fix an error of a keyring with this command, to be
// appended to the error's text. It is empty for other errors.
func KeyringHint(err error) string {
	text := keyringHintText(err)
	switch {
	case text == "":
		return ""
	case strings.HasSuffix(err.Error(), "?"):
		return " " + text
	}
	return "; " + text
}

func keyringHintText(err error) string {
	located, ok := errors.AsType[*secretref.Error](err)
	if !ok {
		return ""
	}
	ref, _ := secretref.Parse(located.Reference)
	_, named := ref.(secretref.KeyringReference)
	if !named && located.Source != "keyring" {
		return ""
	}
	for _, r := range []struct {
		kind error
		text string
	}{
		{secretref.ErrRotationInProgress, "try again when it has finished"},
		{secretref.ErrRootKey, "give the file of the right root key as -root-key-file, and " +
			"during a change of the root key that of the old one as -previous-root-key-file"},
		{secretref.ErrCorrupt, "restore a backup of the store, or store the named secrets again"},
	} {
		if errors.Is(err, r.kind) && !strings.Contains(err.Error(), "restore") {
			return r.text
		}
	}
	// net.Error would match a full disk too, since syscall.Errno implements it.
	_, op := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	// A sourcedError is about fetching a password, not about the keyring's store.
	_, elsewhere := errors.AsType[*sourcedError](err)
	switch {
	case strings.Contains(err.Error(), ": waited for "):
		return "try again when it has finished"
	case (op || dns) && !elsewhere && errors.Is(err, secretref.ErrUnavailable):
		return "check host and port in -store, and whether this machine can reach them"
	case !elsewhere && errors.Is(err, secretref.ErrUnauthenticated):
		return "put the password or a reference to it into the file of -store-password-file " +
			"or into " + PasswordVariable + ""
	case named && errors.Is(err, secretref.ErrNotFound):
		return "\"secretref keys names\" lists the stored ones"
	case named && errors.Is(err, secretref.ErrUnsupported):
		return "give the file or the URL of the keyring's store as -store"
	}
	return ""
}
