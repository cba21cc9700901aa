package main

import (
	"errors"
	"flag"
	"runtime"
	"slices"
	"strings"
)

// chosen says which variables are looked at.
type chosen struct {
	only, skip names
	strict     bool
}

func (c chosen) has(name string) bool {
	return (len(c.only) == 0 || c.only.has(name)) && !c.skip.has(name) && !strings.HasPrefix(name, "SECRETREF_")
}

// names is a flag that takes names of variables with commas between them, and
// can be given more than once.
type names []string

var _ flag.Value = (*names)(nil)

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name[0] == '-' || strings.Contains(name, "=") {
			return errors.New("it takes names of variables with commas between them")
		}
		*n = append(*n, name)
	}
	return nil
}

func (n names) has(name string) bool {
	return slices.ContainsFunc(n, func(one string) bool {
		return one == name || runtime.GOOS == "windows" && strings.EqualFold(one, name)
	})
}
