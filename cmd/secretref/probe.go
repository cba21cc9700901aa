package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// probe resolves references and looks closer at what came of it. It is safe for
// concurrent use.
type probe struct {
	resolver *secretref.Resolver
	vault    *vaultkv.Backend // for whole secrets, to which the library knows no reference
	timeout  time.Duration
}

func newProbe(r *secretref.Resolver, timeout time.Duration, log *slog.Logger) *probe {
	return &probe{
		resolver: r,
		vault:    vaultkv.New(vaultkv.Settings{Timeout: timeout}, &httpguard.Policy{Log: log}, log),
		timeout:  timeout,
	}
}

func (p *probe) close() { p.vault.Close() }

// examine adds to a subject's findings what resolving it shows.
func (p *probe) examine(ctx context.Context, x *subject) {
	if x.resolve == nil {
		return
	}
	secret, err := x.resolve(ctx)
	switch {
	case errors.Is(err, secretref.ErrPointer):
		x.fail(err, why(err)+p.members(ctx, x.ref))
	case err != nil:
		x.fail(err, why(err)+mend(x.ref, err))
	default:
		p.examineValue(ctx, x, secret.Reveal())
	}
}

// examineValue looks for what makes a value no password. Nothing of it may get
// into a finding.
func (p *probe) examineValue(ctx context.Context, x *subject, value string) {
	switch {
	case value == "":
		x.wrong("the secret is empty")
	case strings.HasSuffix(value, "\n"):
		x.wrong("the value ends in a newline, which is part of the password then: store it again without (printf, or echo -n)")
	}
	pointer, structured := pointerOf(x.ref)
	if structured && pointer == "" {
		if names := jsonptr.MemberNames([]byte(value), ""); names != nil {
			x.wrong("the secret is structured, but the reference has no secretPointer, so that all of it would be the password; %s%s",
				listed("", names), likeliest(names))
		}
		return
	}
	doc, ok := p.document(ctx, x.ref)
	if !ok {
		return
	}
	if found, err := pointer.Lookup(doc); err == nil && found[0] != '"' {
		kind := "a number"
		if found[0] == 't' || found[0] == 'f' {
			kind = "a boolean"
		}
		x.doubt("the value in the secret is %s: store it as a string, in quotes", kind)
	}
}

// pointerOf returns the way to a reference's value in the whole secret; false
// for stores that have none.
func pointerOf(reference secretref.Reference) (secretref.Pointer, bool) {
	switch ref := reference.(type) {
	case secretref.AWSReference:
		return ref.SecretPointer, true
	case secretref.VaultReference:
		return secretref.Pointer("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(ref.Key)), true
	}
	return "", false
}

// document fetches the whole secret that a reference points into. It stays in
// memory: only names and kinds of what is in it are told.
func (p *probe) document(ctx context.Context, reference secretref.Reference) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	switch at := reference.(type) {
	case secretref.AWSReference:
		at.SecretPointer = ""
		whole, err := p.resolver.ResolveReference(ctx, at)
		return []byte(whole.Reveal()), err == nil
	case secretref.VaultReference:
		whole, err := p.vault.Fetch(ctx, ref.Reference{Kind: ref.Vault, Mount: at.Mount, Path: at.Path,
			Endpoint: at.Endpoint, Auth: at.AuthenticationType.String()}.Target())
		return []byte(whole.Text), err == nil
	}
	return nil, false
}

// members says which names there are where a pointer went astray.
func (p *probe) members(ctx context.Context, ref secretref.Reference) string {
	pointer, ok := pointerOf(ref)
	if !ok {
		return ""
	}
	doc, ok := p.document(ctx, ref)
	if !ok {
		return ""
	}
	if jsonptr.Valid(doc) != nil {
		return ": leave secretPointer away if the secret is plaintext"
	}
	for at := string(pointer); ; at = at[:strings.LastIndexByte(at, '/')] {
		if names := jsonptr.MemberNames(doc, at); names != nil {
			return "; " + listed(at, names)
		}
		if at == "" {
			return ""
		}
	}
}

// listed names the members of the object at a pointer.
func listed(at string, names []string) string {
	const most = 20
	if len(names) == 0 {
		return "it has no members"
	}
	text := "it has "
	if at != "" {
		text = fmt.Sprintf("at %q it has ", at)
	}
	for i, name := range names {
		if i == most {
			return text + fmt.Sprintf(" and %d more", len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", name)
	}
	return text
}

// likeliest is the pointer to add where the names leave no doubt.
func likeliest(names []string) string {
	if slices.Contains(names, "password") {
		return `: add "secretPointer":"/password"`
	}
	return ": add a secretPointer to one of them"
}

// mend adds to an error of the library what it cannot know or leaves to the
// reader.
func mend(ref secretref.Reference, err error) string {
	if _, ok := ref.(secretref.KeyringReference); ok {
		return remedy(err)
	}
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, secretref.ErrUnavailable) && network:
		return "; check the endpoint's name and port, and that this machine may reach it (firewall, HTTPS_PROXY and NO_PROXY)"
	case errors.Is(err, secretref.ErrNotFound) && isAWS(ref):
		return "; check secretId and region, and that the account above is the secret's"
	}
	return ""
}

func isAWS(ref secretref.Reference) bool {
	_, ok := ref.(secretref.AWSReference)
	return ok
}
