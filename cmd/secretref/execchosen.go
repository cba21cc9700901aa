package main

import (
	"errors"
	"flag"
	"runtime"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
)

// chosen says which variables are looked at.
type chosen struct {
	only, skip, keep names
	strict           bool
}

func (c chosen) has(name string) bool {
	return (len(c.only) == 0 || c.only.has(name)) && !c.skip.has(name) && !ours(name) && !c.removes(name)
}

// removes reports whether the command does not get a variable: it is one of
// this program's credentials, and the command gets the secrets instead.
func (c chosen) removes(name string) bool {
	return (ours(name) || names{vaultkv.TokenVariable}.has(name)) && !c.keep.has(name)
}

// without returns an environment without what is removed.
func (c chosen) without(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _ := cut(entry)
		return c.removes(name)
	})
}

// ours reports whether a variable is this program's own.
func ours(name string) bool {
	if runtime.GOOS == "windows" {
		name = strings.ToUpper(name)
	}
	return strings.HasPrefix(name, "SECRETREF_")
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
