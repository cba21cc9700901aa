package secretref

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/ref"
)

// Expand replaces every reference in text, {ENC}{…} or <ENC><…>, by its secret and
// returns the complete text as a Secret. If escape is not nil, it is applied to each
// secret, so that the secret fits the surrounding text; an example is
// [url.QueryEscape].
//
// The text between references remains unchanged, under Strict too, except for three
// cases, which are ErrSyntax: a misspelled prefix; a JSON object without a prefix that
// has all required fields of a reference, of which at most one is misspelled; and a
// reference that is URL-encoded, written with entities, escaped as in a JSON string,
// or in UTF-16.
//
// Either all references are resolved or Expand returns the errors, joined, each with
// its line. After 20 mistakes the rest of the text is not examined.
func (r *Resolver) Expand(
	ctx context.Context, text string, escape func(string) string,
) (Secret, error) {
	const maxMistakes = 20
	s := r.open()
	if before, found := ref.CutPlaceholder(text); found {
		source := fmt.Sprintf("line %d", 1+strings.Count(before, "\n"))
		return Secret{}, &Error{Source: source, Err: ref.PlaceholderError()}
	}
	var requests []request
	var between []string
	line, rest := 1, text
	bare := func(text string) (mistakes int) {
		at, found := s.grammar.FindBare(text)
		err := ref.BareError()
		if !found {
			at, found = s.grammar.FindEncoded(text)
			err = ref.EncodedError()
		}
		if !found {
			return 0
		}
		source := fmt.Sprintf("line %d", line+strings.Count(text[:at], "\n"))
		requests, between = append(requests, request{source: source, err: err}), append(between, "")
		return 1
	}
	for mistakes := 0; mistakes < maxMistakes; {
		start, end, ok, err := ref.Find(rest)
		if !ok {
			break
		}
		mistakes += bare(rest[:start])
		line += strings.Count(rest[:start], "\n")
		w := request{source: fmt.Sprintf("line %d", line), err: err}
		if err == nil {
			w.ref, w.err = s.grammar.ParseCoordinates(rest[start:end])
		}
		if w.err != nil {
			mistakes++
		}
		requests = append(requests, w)
		between = append(between, rest[:start])
		line += strings.Count(rest[start:end], "\n")
		rest = rest[end:]
	}
	bare(rest)
	secrets, errs := r.resolveAll(ctx, requests, true)
	if err := errors.Join(errs...); err != nil {
		return Secret{}, err
	}
	var b strings.Builder
	for i, s := range secrets {
		b.WriteString(between[i])
		if escape == nil {
			b.WriteString(s.Reveal())
		} else {
			b.WriteString(escape(s.Reveal()))
		}
	}
	b.WriteString(rest)
	return resolvedSecret(b.String()), nil
}
