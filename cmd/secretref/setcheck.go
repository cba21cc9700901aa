package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/ref"
)

// check finds out whether the change is a good one. It says all it finds, and
// returns an error if the file is to be left alone.
func (j *amendment) check(ctx context.Context) error {
	secret, doubts, err := j.resolveNew(ctx)
	if err == nil && secret != nil && j.change.Class != "" {
		j.old, j.known = *secret, true // unless compare finds another one
	}
	if err == nil && secret != nil && len(j.result.Lines) > 0 {
		if doubt := j.compare(ctx, *secret); doubt != "" {
			doubts = append(doubts, doubt)
		}
	}
	switch {
	case err != nil, len(doubts) == 0, len(j.result.Lines) == 0:
	case j.force:
		j.say("forced", "-force overrules what speaks against it")
	default:
		err = errors.New(strings.Join(doubts, "; ") + "; -force writes it all the same")
	}
	if j.dryRun && len(j.result.Lines) > 0 {
		if err == nil {
			j.remains()
		}
		j.showDifference()
	}
	if err != nil {
		return &unchangedError{err}
	}
	return nil
}

// resolveNew gets the secret as the product will, and says what came of it. It
// is nil if only a class of the user's own knows it. The doubts are reasons not
// to write.
func (j *amendment) resolveNew(ctx context.Context) (secret *secretref.Secret, doubts []string, err error) {
	if j.change.Class == "" {
		j.afterwards()
		plain := secretref.NewSecret(j.change.Value)
		return &plain, nil, nil
	}
	custom := atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass
	if custom {
		doubt := "the class " + j.change.Class + " is none of the products' own and cannot be asked from here"
		j.say("doubt", "%s", doubt)
		doubts = append(doubts, doubt)
		if j.ref == nil {
			return nil, doubts, nil
		}
	}
	x := &subject{ref: j.ref}
	x.form(j.change.Value)
	x.resolve = func(ctx context.Context) (secretref.Secret, error) {
		var found secretref.Secret
		found, err = j.ask(ctx)
		secret = &found
		return found, err
	}
	probe := newProbe(j.resolver, j.store.timeout.value(), j.log)
	defer probe.close()
	probe.examine(ctx, x)
	if err == nil {
		j.say("ok", "it resolves")
	}
	for _, f := range x.findings {
		j.say([...]string{note: "note", doubt: "doubt", wrong: "wrong"}[f.level], "%s", f.text)
		if f.level > note {
			doubts = append(doubts, f.text)
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

// ask resolves what shall stand in the file as the product will.
func (j *amendment) ask(ctx context.Context) (secretref.Secret, error) {
	if atlassian.CipherClassOf(j.change.Class) == atlassian.CustomClass {
		return j.resolver.ResolveReference(ctx, j.ref)
	}
	changed := configOf(j.result.File, j.path)
	item, _ := j.item(changed)
	settings, err := j.resolver.ResolveConfig(ctx, only(changed, j.layout, item))
	return settings.Secrets[item.Key], err
}

// compare says whether a secret is the password that the file has now, or
// returns why that speaks against writing.
func (j *amendment) compare(ctx context.Context, secret secretref.Secret) (doubt string) {
	what := "the secret"
	if j.change.Class == "" {
		what = "the plaintext"
	}
	old, unknown, err := j.resolveOld(ctx)
	if unknown == "" {
		j.old, j.known = old, true
	}
	switch {
	case unknown != "" && j.change.Class == "" && closed(err):
		// Without its store is when a password is needed.
		j.say("warning", "%s: whether %s is right is not known", unknown, what)
		return ""
	case unknown != "":
		j.say("doubt", "%s", unknown)
		return "whether " + what + " is the password that the file has now is not known"
	case old.Equal(secret):
		j.say("ok", "%s is the password that the file has now", what)
		return ""
	}
	text := what + " is not the password that the file has now"
	if a, b := old.Reveal(), secret.Reveal(); strings.TrimSpace(a) == strings.TrimSpace(b) {
		j.say("wrong", "%s: they differ in a newline or space at one end, which most often comes from storing a secret with echo", text)
	} else {
		j.say("wrong", "%s: is it another one, or has one of the two been changed since?", text)
	}
	return text
}

// closed reports whether an error means that a store cannot be reached, or lets
// nobody in.
func closed(err error) bool {
	return errors.Is(err, secretref.ErrUnavailable) || errors.Is(err, secretref.ErrUnauthenticated) || errors.Is(err, secretref.ErrDenied)
}

// placeholder reports whether the product keeps the old password elsewhere.
func (j *amendment) placeholder() bool {
	entry, _ := j.config.Get(j.change.Key)
	body, _ := ref.CutPrefix(strings.TrimSpace(entry.Reveal()))
	return ref.IsPlaceholder(body)
}

// resolveOld gets the password that the file has now, or says why nobody knows
// it, and where a store was asked, its error.
func (j *amendment) resolveOld(ctx context.Context) (old secretref.Secret, unknown string, err error) {
	item, ok := j.item(j.config)
	switch {
	case j.placeholder():
		return old, fmt.Sprintf("the file has %s: the product has moved the password into a store of its own, where it cannot be read from here. "+
			"Compare the secret with what the database takes; coordinates stay in the file as they are", ref.Placeholder), nil
	case !ok:
		entry, _ := j.config.Get(j.change.Key)
		return entry, "", nil
	case atlassian.CipherClassOf(item.Class) == atlassian.CustomClass:
		// It is not named: where class and password are swapped it is the password.
		return old, "the password that the file has now cannot be had: the class that the file names is none of the products' own and cannot be asked from here", nil
	}
	settings, err := j.resolver.ResolveConfig(ctx, only(j.config, j.layout, item))
	if err != nil {
		return old, "the password that the file has now cannot be had: " + why(err), err
	}
	return settings.Secrets[item.Key], "", nil
}
