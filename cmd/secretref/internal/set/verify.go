package set

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/check"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/ref"
)

// verify checks that the new value resolves to the current password. It prints its
// findings and returns an error if the file must not be changed.
func (j *setOperation) verify(ctx context.Context) error {
	secret, doubts, err := j.resolveNew(ctx)
	if err == nil && secret != nil && j.change.Class != "" {
		j.old, j.oldKnown = *secret, true // unless compareWithOld finds another one
	}
	if err == nil && secret != nil && len(j.result.Lines) > 0 {
		if doubt := j.compareWithOld(ctx, *secret); doubt != "" {
			doubts = append(doubts, doubt)
		}
	}
	hint := ""
	switch {
	case err != nil, len(doubts) == 0, len(j.result.Lines) == 0:
	case j.force:
		j.report("forced", "-force overrides these findings")
	default:
		err = errors.New(strings.Join(doubts, "; "))
		hint = " (use -force to write it anyway)"
	}
	if j.dryRun && len(j.result.Lines) > 0 {
		if err == nil {
			j.reportLeftovers()
		}
		j.printDiff()
	}
	if err != nil {
		return &unchangedError{err, hint}
	}
	return nil
}

// resolveNew resolves the new value as the product will, and prints the findings. The
// secret is nil if only a custom class can resolve it. Doubts are reasons not to
// write.
func (j *setOperation) resolveNew(ctx context.Context) (secret *secretref.Secret, doubts []string,
	err error) {
	if j.change.Class == "" {
		j.noteSecuredPassword()
		plain := secretref.NewSecret(j.change.Value)
		return &plain, nil, nil
	}
	custom := atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass
	if custom {
		doubt := "the class " + j.change.Class + " is a custom class, which cannot be run here"
		j.report("doubt", "%s", doubt)
		doubts = append(doubts, doubt)
		if j.ref == nil {
			return nil, doubts, nil
		}
	}
	resolve := func(ctx context.Context) (secretref.Secret, error) {
		var found secretref.Secret
		found, err = j.resolveAsProduct(ctx)
		secret = &found
		return found, err
	}
	findings := check.Examine(ctx, j.resolver, j.store.Timeout.Value(), j.log, j.ref,
		j.change.Value, resolve)
	if err == nil {
		j.report("ok", "it resolves")
	}
	for _, f := range findings {
		j.report([...]string{check.Note: "note", check.Doubt: "doubt",
			check.Wrong: "wrong"}[f.Level], "%s", f.Text)
		if f.Level > check.Note {
			doubts = append(doubts, f.Text)
		}
	}
	switch {
	case err != nil && custom:
		return nil, doubts, nil
	case err != nil:
		return nil, nil, errors.New("the reference cannot be resolved")
	}
	return secret, doubts, nil
}

// resolveAsProduct resolves the new value from the changed file, as the product will.
func (j *setOperation) resolveAsProduct(ctx context.Context) (secretref.Secret, error) {
	if atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass {
		return j.resolver.ResolveReference(ctx, j.ref)
	}
	changed := config.FromDecoded(j.result.File, j.path)
	item, _ := j.findItem(changed)
	settings, err := j.resolver.ResolveConfig(ctx, config.OnlyItem(changed, j.layout, item))
	return settings.Secrets[item.Key], err
}

// compareWithOld compares a secret with the password now in the file. It prints the
// result, and returns a doubt if that is a reason not to write.
func (j *setOperation) compareWithOld(ctx context.Context, secret secretref.Secret) (doubt string) {
	what := "the secret"
	if j.change.Class == "" {
		what = "the plaintext"
	}
	old, unknown, err := j.resolveOld(ctx)
	if unknown == "" {
		j.old, j.oldKnown = old, true
	}
	switch {
	case unknown != "" && j.change.Class == "" && storeUnavailable(err):
		// An outage of the store is the very occasion for a plaintext password.
		j.report("warning", "%s; %s was not checked", unknown, what)
		return ""
	case unknown != "":
		j.report("doubt", "%s", unknown)
		return what + " could not be compared with the password now in the file"
	case old.Equal(secret):
		j.report("ok", "%s is the password now in the file", what)
		return ""
	}
	text := what + " differs from the password now in the file"
	if a, b := old.Reveal(), secret.Reveal(); strings.TrimSpace(a) == strings.TrimSpace(b) {
		j.report("wrong", "%s only by a newline or space at one end, most often the result of "+
			"storing a secret with echo", text)
	} else {
		j.report("wrong", "%s: is it a different password, or has one of the two been changed?",
			text)
	}
	return text
}

// storeUnavailable reports whether an error means that a store is unreachable or
// denies access.
func storeUnavailable(err error) bool {
	return errors.Is(err, secretref.ErrUnavailable) ||
		errors.Is(err, secretref.ErrUnauthenticated) || errors.Is(err, secretref.ErrDenied)
}

// hasPlaceholder reports whether the product has moved the old password to its own
// store.
func (j *setOperation) hasPlaceholder() bool {
	entry, _ := j.config.Get(j.change.Key)
	body, _ := ref.CutPrefix(strings.TrimSpace(entry.Reveal()))
	return ref.IsPlaceholder(body)
}

// resolveOld returns the password now in the file. If that cannot be determined,
// unknown is the reason, and err the error of the store, if any.
func (j *setOperation) resolveOld(ctx context.Context) (old secretref.Secret, unknown string,
	err error) {
	item, ok := j.findItem(j.config)
	switch {
	case j.hasPlaceholder():
		return old, fmt.Sprintf("the file has %s: the product has moved the password into its "+
			"own store, which cannot be read here. "+
			"Compare the secret with the password that the database accepts; the product leaves "+
			"coordinates in the file unchanged", ref.Placeholder), nil
	case !ok:
		entry, _ := j.config.Get(j.change.Key)
		return entry, "", nil
	case atlassian.CipherClassOf(item.Class) == atlassian.CustomClass:
		// The class is not quoted: if class and password are swapped, it is the password.
		return old, "the password now in the file cannot be determined: the file names a custom " +
			"class, which cannot be run here", nil
	}
	settings, err := j.resolver.ResolveConfig(ctx, config.OnlyItem(j.config, j.layout, item))
	if err != nil {
		return old, "the password now in the file cannot be determined: " + ui.Reason(err), err
	}
	return settings.Secrets[item.Key], "", nil
}
