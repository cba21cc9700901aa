package storeflags

import (
	"errors"
	"net"
	"strings"

	"github.com/seed74218947/secretref"
)

// KeyringHint is what can be done about an error of a keyring with this command, as
// the end of its text. It is empty for other errors.
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
		{secretref.ErrRotationInProgress, "wait until it is done and try again"},
		{secretref.ErrRootKey, "-root-key-file names the file of the right one, and -previous-root-key-file that of the former one while it is being changed"},
		{secretref.ErrCorrupt, "restore a backup of the store, or put the named secrets anew"},
	} {
		if errors.Is(err, r.kind) && !strings.Contains(err.Error(), "restore") {
			return r.text
		}
	}
	// A full disk is a syscall.Errno, and thus a net.Error, too.
	_, op := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	_, elsewhere := errors.AsType[*sourcedError](err) // it is about a store of passwords
	switch {
	case strings.Contains(err.Error(), ": waited for "):
		return "try again when it is done"
	case (op || dns) && !elsewhere && errors.Is(err, secretref.ErrUnavailable):
		return "check host and port in -store, and that this machine may reach them"
	case !elsewhere && errors.Is(err, secretref.ErrUnauthenticated):
		return "-store-password-file or " + PasswordVariable + " is for the password, or a reference to it"
	case named && errors.Is(err, secretref.ErrNotFound):
		return "\"secretref keys names\" lists those there are"
	case named && errors.Is(err, secretref.ErrUnsupported):
		return "give -store, the file or the URL of the keyring's store"
	}
	return ""
}
