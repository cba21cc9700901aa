package ref

import (
	"fmt"
	"slices"

	"github.com/seed74218947/secretref/internal/fault"
)

// CustomBackend is a caller's own store, with the members that identify its
// coordinates.
type CustomBackend struct {
	Class  string
	Fields []string
}

// isCustom reports whether text has the coordinates of a caller's own store.
func (g *Grammar) isCustom(text string) bool {
	if len(g.Customs) == 0 {
		return false
	}
	r, err := g.parseObject(text)
	return err == nil && r.Kind == Custom
}

// customBackend returns the caller's store whose identifying members are all
// present; of several, the one with the most members. It returns nil if the
// members are those of a built-in backend.
func (g *Grammar) customBackend(members []member) (*CustomBackend, error) {
	var best *CustomBackend
	tie := false
	for i := range g.Customs {
		c := &g.Customs[i]
		if len(c.Fields) == 0 ||
			!slices.ContainsFunc(c.Fields, func(f string) bool { return memberIndex(members, f) >= 0 }) {
			continue
		}
		missing := slices.IndexFunc(c.Fields, func(f string) bool { return memberIndex(members, f) < 0 })
		switch {
		case missing >= 0:
			continue
		case best == nil || len(c.Fields) > len(best.Fields):
			best, tie = c, false
		case len(c.Fields) == len(best.Fields):
			tie = true
		}
	}
	if best == nil {
		return nil, g.customMistake(members)
	}
	if tie {
		return nil, fault.New(fault.Syntax, "the fields identify more than one custom store")
	}
	for _, m := range members {
		if m.kind != 0 && isDistinctive(m.name) && !slices.Contains(best.Fields, m.name) {
			return nil, differentBackendsError(best.Fields[0], m.name, best.Class, BackendName(m.kind))
		}
	}
	return best, nil
}

// customMistake explains why members of a caller's store do not identify it: one
// is missing or misspelled.
func (g *Grammar) customMistake(members []member) error {
	if slices.ContainsFunc(members, func(m member) bool { return isDistinctive(m.name) }) {
		return nil
	}
	for _, c := range g.Customs {
		hit, wrong, missing := false, "", ""
		for _, f := range c.Fields {
			if !IsCustomField(f) {
				continue
			}
			if memberIndex(members, f) >= 0 {
				hit = true
				continue
			}
			missing = f
			for _, m := range members {
				if Near(Fold(m.name), Fold(f), 1) && safeToPrint(m.name) {
					wrong = fmt.Sprintf("unknown field %q (did you mean %q?)", m.name, f)
				}
			}
		}
		switch {
		case wrong != "":
			return fault.New(fault.Syntax, "%s", wrong)
		case hit && missing != "":
			return fault.New(fault.Syntax, "field %q is missing (%s)", missing, c.Class)
		}
	}
	return nil
}
