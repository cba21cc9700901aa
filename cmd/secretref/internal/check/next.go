package check

import (
	"errors"

	"github.com/seed74218947/secretref"
)

// nextStep returns the next step for the user.
func nextStep(values []*checkedValue) string {
	const again = ", then run this check again"
	var first *checkedValue
	doubts, standalone, onlyKeyring := false, true, true
	for _, x := range values {
		standalone = standalone && x.standalone
		_, keyring := x.ref.(secretref.KeyringReference)
		onlyKeyring = onlyKeyring && keyring
		switch x.worstLevel() {
		case Wrong:
			if first == nil || fixOrder(x) < fixOrder(first) {
				first = x
			}
		case Doubt:
			doubts = true
		}
	}
	const restart = "restart the product on every node; first run this check on each, " +
		"as the service user and with its environment"
	switch {
	case first != nil:
		return "fix " + first.location + again
	case doubts:
		return "fix the doubts" + again + "; after that " + restart
	case standalone && onlyKeyring:
		return "write the reference into the configuration of a program that opens this keyring " +
			"with the library"
	case standalone:
		return "write the reference into the configuration file, check the file, and restart the " +
			"product on every node"
	}
	return restart
}

// fixOrder returns the rank of the error of x. Errors with a lower rank must be fixed
// first, since they hide others.
func fixOrder(x *checkedValue) int {
	order := []error{
		secretref.ErrSyntax, secretref.ErrUnsupported, secretref.ErrRootKey,
		secretref.ErrUnauthenticated, secretref.ErrUnavailable, secretref.ErrDenied,
		secretref.ErrCorrupt, secretref.ErrNotFound, secretref.ErrPointer,
	}
	rank := len(order)
	for _, f := range x.findings {
		for i, kind := range order {
			if f.Level == Wrong && errors.Is(f.err, kind) {
				rank = min(rank, i)
			}
		}
	}
	return rank
}
