package check

import (
	"errors"

	"github.com/seed74218947/secretref"
)

// nextStep says what to do now.
func nextStep(subjects []*checkedValue) string {
	const again = ", then run this check again"
	var first *checkedValue
	doubts, loose, ours := false, true, true
	for _, x := range subjects {
		loose = loose && x.standalone
		_, keyring := x.ref.(secretref.KeyringReference)
		ours = ours && keyring
		switch x.worstLevel() {
		case Wrong:
			if first == nil || fixOrder(x) < fixOrder(first) {
				first = x
			}
		case Doubt:
			doubts = true
		}
	}
	const where = " (there too this check must succeed, as the user of the product's service and with its environment)"
	switch {
	case first != nil:
		return "mend first " + first.location + again
	case doubts:
		return "mend what the product may refuse" + again + "; after that restart the product, on every node" + where
	case loose && ours:
		return "put the reference into the configuration of a program that opens this keyring with the library"
	case loose:
		return "put the reference into the configuration file, check that, and restart the product, on every node"
	}
	return "restart the product, on every node" + where
}

// fixOrder orders what is wrong by what has to be mended before the rest can be
// seen; the smallest comes first.
func fixOrder(x *checkedValue) int {
	order := []error{secretref.ErrSyntax, secretref.ErrUnsupported, secretref.ErrRootKey, secretref.ErrUnauthenticated, secretref.ErrUnavailable,
		secretref.ErrDenied, secretref.ErrCorrupt, secretref.ErrNotFound, secretref.ErrPointer}
	least := len(order)
	for _, f := range x.findings {
		for i, kind := range order {
			if f.Level == Wrong && errors.Is(f.err, kind) {
				least = min(least, i)
			}
		}
	}
	return least
}
