package exec

import (
	"errors"
	"flag"
	"runtime"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
)

// selection determines which variables are resolved and which are removed.
type selection struct {
	only, skip, keep nameList
	strict           bool
}

func (s selection) includes(name string) bool {
	return (len(s.only) == 0 || s.only.contains(name)) && !s.skip.contains(name) &&
		!isOwnVariable(name) && !s.removes(name)
}

// removes reports whether a variable is a credential of this program, which the
// command must not receive.
func (s selection) removes(name string) bool {
	return (isOwnVariable(name) || nameList{vaultkv.TokenVariable}.contains(name)) &&
		!s.keep.contains(name)
}

// environment returns env without the removed variables.
func (s selection) environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _ := splitEntry(entry)
		return s.removes(name)
	})
}

// isOwnVariable reports whether a variable configures this program.
func isOwnVariable(name string) bool {
	if runtime.GOOS == "windows" {
		name = strings.ToUpper(name)
	}
	return strings.HasPrefix(name, "SECRETREF_")
}

// nameList is a flag with a comma-separated list of variable names. It may be given
// more than once.
type nameList []string

var _ flag.Value = (*nameList)(nil)

func (n *nameList) String() string { return strings.Join(*n, ",") }

func (n *nameList) Set(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name[0] == '-' || strings.Contains(name, "=") {
			return errors.New("not a comma-separated list of variable names")
		}
		*n = append(*n, name)
	}
	return nil
}

func (n nameList) contains(name string) bool {
	return slices.ContainsFunc(n, func(one string) bool {
		return one == name || runtime.GOOS == "windows" && strings.EqualFold(one, name)
	})
}
