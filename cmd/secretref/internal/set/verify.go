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

// verify finds out whether the change is a good one. It says all it finds, and
// returns an error if the file is to be left alone.
func (j *setOperation) verify(ctx context.Context) error {
	secret, doubts, err := j.resolveNew(ctx)
	if err == nil && secret != nil && j.change.Class != "" {
		j.old, j.oldKnown = *secret, true // unless compare finds another one
	}
	if err == nil && secret != nil && len(j.result.Lines) > 0 {
		if doubt := j.compareWithOld(ctx, *secret); doubt != "" {
			doubts = append(doubts, doubt)
		}
	}
	switch {
	case err != nil, len(doubts) == 0, len(j.result.Lines) == 0:
	case j.force:
		j.report("forced", "-force overrules what speaks against it")
	default:
		err = errors.New(strings.Join(doubts, "; ") + "; -force writes it all the same")
	}
	if j.dryRun && len(j.result.Lines) > 0 {
		if err == nil {
			j.reportLeftovers()
		}
		j.printDiff()
	}
	if err != nil {
		return &unchangedError{err}
	}
	return nil
}

// resolveNew gets the secret as the product will, and says what came of it. It
// is nil if only a class of the user's own knows it. The doubts are reasons not
// to write.
func (j *setOperation) resolveNew(ctx context.Context) (secret *secretref.Secret, doubts []string, err error) {
	if j.change.Class == "" {
		j.noteSecuredPassword()
		plain := secretref.NewSecret(j.change.Value)
		return &plain, nil, nil
	}
	custom := atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass
	if custom {
		doubt := "the class " + j.change.Class + " is none of the products' own and cannot be asked from here"
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
	findings := check.Examine(ctx, j.resolver, j.store.Timeout.Value(), j.log, j.ref, j.change.Value, resolve)
	if err == nil {
		j.report("ok", "it resolves")
	}
	for _, f := range findings {
		j.report([...]string{check.Note: "note", check.Doubt: "doubt", check.Wrong: "wrong"}[f.Level], "%s", f.Text)
		if f.Level > check.Note {
			doubts = append(doubts, f.Text)
		}
	}
	switch {
	case err != nil && custom:
		return nil, doubts, nil
	case err != nil:
		return nil, nil, errors.New("it cannot be resolved")
	}
	return secret, doubts, nil
}

// resolveAsProduct resolves what shall stand in the file as the product will.
func (j *setOperation) resolveAsProduct(ctx context.Context) (secretref.Secret, error) {
	if atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass {
		return j.resolver.ResolveReference(ctx, j.ref)
	}
	changed := config.FromDecoded(j.result.File, j.path)
	item, _ := j.findItem(changed)
	settings, err := j.resolver.ResolveConfig(ctx, config.OnlyItem(changed, j.layout, item))
	return settings.Secrets[item.Key], err
}

// compareWithOld says whether a secret is the password that the file has now, or
// returns why that speaks against writing.
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
		// Without its store is when a password is needed.
		j.report("warning", "%s: whether %s is right is not known", unknown, what)
		return ""
	case unknown != "":
		j.report("doubt", "%s", unknown)
		return "whether " + what + " is the password that the file has now is not known"
	case old.Equal(secret):
		j.report("ok", "%s is the password that the file has now", what)
		return ""
	}
	text := what + " is not the password that the file has now"
	if a, b := old.Reveal(), secret.Reveal(); strings.TrimSpace(a) == strings.TrimSpace(b) {
		j.report("wrong", "%s: they differ in a newline or space at one end, which most often comes from storing a secret with echo", text)
	} else {
		j.report("wrong", "%s: is it another one, or has one of the two been changed since?", text)
	}
	return text
}

// storeUnavailable reports whether an error means that a store cannot be reached, or lets
// nobody in.
func storeUnavailable(err error) bool {
	return errors.Is(err, secretref.ErrUnavailable) || errors.Is(err, secretref.ErrUnauthenticated) || errors.Is(err, secretref.ErrDenied)
}

// hasPlaceholder reports whether the product keeps the old password elsewhere.
func (j *setOperation) hasPlaceholder() bool {
	entry, _ := j.config.Get(j.change.Key)
	body, _ := ref.CutPrefix(strings.TrimSpace(entry.Reveal()))
	return ref.IsPlaceholder(body)
}

// resolveOld gets the password that the file has now, or says why nobody knows
// it, and where a store was asked, its error.
func (j *setOperation) resolveOld(ctx context.Context) (old secretref.Secret, unknown string, err error) {
	item, ok := j.findItem(j.config)
	switch {
	case j.hasPlaceholder():
		return old, fmt.Sprintf("the file has %s: the product has moved the password into a store of its own, where it cannot be read from here. "+
			"Compare the secret with what the database takes; coordinates stay in the file as they are", ref.Placeholder), nil
	case !ok:
		entry, _ := j.config.Get(j.change.Key)
		return entry, "", nil
	case atlassian.CipherClassOf(item.Class) == atlassian.CustomClass:
		// It is not named: where class and password are swapped it is the password.
		return old, "the password that the file has now cannot be had: the class that the file names is none of the products' own and cannot be asked from here", nil
	}
	settings, err := j.resolver.ResolveConfig(ctx, config.OnlyItem(j.config, j.layout, item))
	if err != nil {
		return old, "the password that the file has now cannot be had: " + ui.Reason(err), err
	}
	return settings.Secrets[item.Key], "", nil
}
