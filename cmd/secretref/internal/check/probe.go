package check

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
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// probe resolves references and examines the results. It is safe for concurrent use.
type probe struct {
	resolver *secretref.Resolver
	vault    *vaultkv.Backend // for whole secrets, which no reference can name
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

// Examine resolves a reference that is written as text and returns the findings.
// It calls resolve once to get the secret.
func Examine(ctx context.Context, r *secretref.Resolver, timeout time.Duration, log *slog.Logger,
	reference secretref.Reference, text string,
	resolve func(context.Context) (secretref.Secret, error)) []Finding {
	x := &checkedValue{ref: reference, resolve: resolve}
	x.checkForm(text)
	p := newProbe(r, timeout, log)
	defer p.close()
	p.examine(ctx, x)
	return x.findings
}

// examine resolves a value and adds the findings.
func (p *probe) examine(ctx context.Context, x *checkedValue) {
	if x.resolve == nil {
		return
	}
	secret, err := x.resolve(ctx)
	switch {
	case errors.Is(err, secretref.ErrPointer):
		x.addFailure(err, ui.Reason(err)+p.listMembers(ctx, x.ref))
	case err != nil:
		x.addFailure(err, ui.Reason(err)+hint(x.ref, err))
	default:
		p.examineValue(ctx, x, secret.Reveal())
	}
}

// examineValue looks for signs that a secret is not a usable password. No part of it
// may appear in a finding.
func (p *probe) examineValue(ctx context.Context, x *checkedValue, value string) {
	switch {
	case value == "":
		x.addWrong("the secret is empty")
	case strings.HasSuffix(value, "\n"):
		x.addWrong("the value ends in a newline, which becomes part of the password: store it " +
			"again without one (printf, or echo -n)")
	}
	pointer, structured := pointerInto(x.ref)
	if structured && pointer == "" {
		if names := jsonptr.MemberNames([]byte(value), ""); names != nil {
			x.addWrong("the secret is a JSON object, but the reference has no secretPointer, so "+
				"the whole object would be the password; %s%s",
				describeMembers("", names), pointerHint(names))
		}
		return
	}
	doc, ok := p.fetchDocument(ctx, x.ref)
	if !ok {
		return
	}
	if found, err := pointer.Lookup(doc); err == nil && found[0] != '"' {
		kind := "a number"
		if found[0] == 't' || found[0] == 'f' {
			kind = "a boolean"
		}
		x.addDoubt("the value in the secret is %s: store it as a string in quotes", kind)
	}
}

// pointerInto returns the pointer to a reference's value in the whole secret, or false
// if the store has no structured secrets.
func pointerInto(reference secretref.Reference) (secretref.Pointer, bool) {
	switch ref := reference.(type) {
	case secretref.AWSReference:
		return ref.SecretPointer, true
	case secretref.VaultReference:
		return secretref.Pointer("/" + jsonptr.EscapeToken(ref.Key)), true
	}
	return "", false
}

// fetchDocument fetches the whole secret that a reference points into. Only its member
// names and the types of its values may be printed.
func (p *probe) fetchDocument(ctx context.Context, reference secretref.Reference) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	switch at := reference.(type) {
	case secretref.AWSReference:
		at.SecretPointer = ""
		whole, err := p.resolver.ResolveReference(ctx, at)
		return []byte(whole.Reveal()), err == nil
	case secretref.VaultReference:
		whole, err := p.vault.Fetch(ctx,
			ref.Reference{Kind: ref.Vault, Mount: at.Mount, Path: at.Path,
				Endpoint: at.Endpoint, Auth: at.AuthenticationType.String()}.Target())
		return []byte(whole.Text), err == nil
	}
	return nil, false
}

// listMembers names the members of the innermost object that a pointer reaches.
func (p *probe) listMembers(ctx context.Context, ref secretref.Reference) string {
	pointer, ok := pointerInto(ref)
	if !ok {
		return ""
	}
	doc, ok := p.fetchDocument(ctx, ref)
	if !ok {
		return ""
	}
	if jsonptr.Valid(doc) != nil {
		return ": remove secretPointer if the secret is plaintext"
	}
	for at := string(pointer); ; at = at[:strings.LastIndexByte(at, '/')] {
		if names := jsonptr.MemberNames(doc, at); names != nil {
			return "; " + describeMembers(at, names)
		}
		if at == "" {
			return ""
		}
	}
}

// describeMembers names the members of the object at a pointer, up to a limit.
func describeMembers(at string, names []string) string {
	const maxListed = 20
	if len(names) == 0 {
		return "it has no members"
	}
	text := "it has "
	if at != "" {
		text = fmt.Sprintf("at %q it has ", at)
	}
	for i, name := range names {
		if i == maxListed {
			return text + fmt.Sprintf(" and %d more", len(names)-maxListed)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", name)
	}
	return text
}

// pointerHint suggests the secretPointer to add.
func pointerHint(names []string) string {
	if slices.Contains(names, "password") {
		return `: add "secretPointer":"/password"`
	}
	return ": add a secretPointer that selects one of them"
}

// hint returns advice to append to an error of the library.
func hint(ref secretref.Reference, err error) string {
	if _, ok := ref.(secretref.KeyringReference); ok {
		return storeflags.KeyringHint(err)
	}
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, secretref.ErrUnavailable) && network:
		return "; check the endpoint's name and port, and whether this machine can reach it " +
			"(firewall, HTTPS_PROXY and NO_PROXY)"
	case errors.Is(err, secretref.ErrNotFound) && isAWS(ref):
		return "; check secretId and region, and whether the secret is in the account shown above"
	}
	return ""
}

func isAWS(ref secretref.Reference) bool {
	_, ok := ref.(secretref.AWSReference)
	return ok
}
