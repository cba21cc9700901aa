package main

import (
	"errors"

	"github.com/seed74218947/secretref"
)

// next says what to do now.
func next(subjects []*subject) string {
	const again = ", then run this check again"
	var first *subject
	doubts, loose, ours := false, true, true
	for _, x := range subjects {
		loose = loose && x.loose
		_, keyring := x.ref.(secretref.KeyringReference)
		ours = ours && keyring
		switch x.level() {
		case wrong:
			if first == nil || urgency(x) < urgency(first) {
				first = x
			}
		case doubt:
			doubts = true
		}
	}
	const where = " (there too this check must succeed, as the user of the product's service and with its environment)"
	switch {
	case first != nil:
		return "mend first " + first.place + again
	case doubts:
		return "mend what the product may refuse" + again + "; after that restart the product, on every node" + where
	case loose && ours:
		return "put the reference into the configuration of a program that opens this keyring with the library"
	case loose:
		return "put the reference into the configuration file, check that, and restart the product, on every node"
	}
	return "restart the product, on every node" + where
}

// urgency orders what is wrong by what has to be mended before the rest can be
// seen; the smallest comes first.
func urgency(x *subject) int {
	order := []error{secretref.ErrSyntax, secretref.ErrUnsupported, secretref.ErrRootKey, secretref.ErrUnauthenticated, secretref.ErrUnavailable,
		secretref.ErrDenied, secretref.ErrCorrupt, secretref.ErrNotFound, secretref.ErrPointer}
	least := len(order)
	for _, f := range x.findings {
		for i, kind := range order {
			if f.level == wrong && errors.Is(f.err, kind) {
				least = min(least, i)
			}
		}
	}
	return least
}
