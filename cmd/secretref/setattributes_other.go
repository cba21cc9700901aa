//go:build !linux

package main

import "os"

// keepAttributes does nothing: only Linux has extended attributes that matter
// to who may read the file.
func keepAttributes(*os.File, string) (lost []string, err error) { return nil, nil }
