// Package sqlstate knows what PostgreSQL, and what stands in front of it, means
// with an SQLSTATE.
package sqlstate

import "strings"

// LoginRefused reports whether a login was not accepted: class 28 of
// PostgreSQL. PgBouncer says 08P01, a protocol violation, for everything, so
// that only its text tells, whose own it is ("SASL authentication failed") or
// the server's ("password authentication failed for user …").
func LoginRefused(state, message string) bool {
	if strings.HasPrefix(state, "28") {
		return true
	}
	if state != "08P01" {
		return false
	}
	message = strings.ToLower(message)
	for _, text := range []string{
		"authentication failed", "server login failed",
		"server login has been failing", "no such user", "login rejected",
	} {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}
