// Package sqlstate interprets the SQLSTATE codes of PostgreSQL and of its connection
// poolers.
package sqlstate

import "strings"

// LoginRefused reports whether a login was refused. PostgreSQL uses class 28 for
// that. PgBouncer uses 08P01, a protocol violation, for all errors; they can only be
// distinguished by the message, which is its own ("SASL authentication failed") or
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
