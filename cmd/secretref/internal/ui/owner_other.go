//go:build !unix

package ui

import "io/fs"

// OwnerName returns "unknown": only Unix has file owners with simple names.
func OwnerName(fs.FileInfo) string { return "unknown" }
