package awssm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/batch"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// MaxBatch is how many secrets one BatchGetSecretValue call may name.
	MaxBatch = 20

	// maxPages bounds the calls for one batch: AWS may cut an answer into pages.
	maxPages = MaxBatch

	// refusalKept is for how long batches are not tried after one was refused,
	// so that a permission granted meanwhile is noticed.
	refusalKept = 5 * time.Minute

	// throttlePause is for how long batches are not tried after AWS throttled
	// them twice. Single calls have a limit of their own, a hundred times as high.
	throttlePause = 5 * time.Second
)

// FetchBatch is Fetch for up to [MaxBatch] groups of one region and one
// endpoint: one BatchGetSecretValue call, and a result for each group, in
// order. What that call leaves open is fetched singly, side by side, and so is
// everything where AWS refuses batches. One group needs no permission but
// Fetch's. At most 50 calls run at a time.
func (b *Backend) FetchBatch(ctx context.Context, groups []ref.Target) []batch.Result[fetch.Document] {
	settled := make(map[ref.Target]batch.Result[fetch.Document], len(groups))
	open := distinct(groups)
	if len(open) > 1 {
		open = b.settle(ctx, open, settled)
	}
	for i, r := range b.singly(ctx, open) {
		settled[open[i]] = r
	}
	results := make([]batch.Result[fetch.Document], len(groups))
	for i, g := range groups {
		results[i] = settled[g]
	}
	return results
}

// distinct leaves repetitions out, which AWS refuses.
func distinct(groups []ref.Target) (out []ref.Target) {
	seen := make(map[ref.Target]bool, len(groups))
	for _, g := range groups {
		if !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out
}

func (b *Backend) singly(ctx context.Context, groups []ref.Target) []batch.Result[fetch.Document] {
	return batch.Each(b.log, groups, func(g ref.Target) (fetch.Document, error) {
		if err := b.turn(ctx); err != nil {
			return fetch.Document{}, err
		}
		defer b.callSlots.Release(1)
		return b.Fetch(ctx, g)
	})
}

// turn waits until another call may run. The caller releases it afterwards.
func (b *Backend) turn(ctx context.Context) error {
	if err := b.callSlots.Acquire(ctx, 1); err != nil {
		return fault.New(fault.Unavailable, "canceled while waiting for its turn among %d concurrent calls", maxConcurrentCalls).WithCause(err)
	}
	return nil
}

// settle puts what a batch brings into settled and returns the other groups.
func (b *Backend) settle(ctx context.Context, groups []ref.Target, settled map[ref.Target]batch.Result[fetch.Document]) (open []ref.Target) {
	fail := func(err error) {
		for _, g := range groups {
			settled[g] = batch.Result[fetch.Document]{Err: err}
		}
	}
	at := clientKey{groups[0].Region, groups[0].Endpoint}
	c, err := b.client(ctx, at)
	if err != nil {
		fail(err)
		return nil
	}
	if b.refused(c) {
		return groups
	}
	var a answer
	c, err = b.attempt(ctx, at, func(c *client) (err error) {
		a, err = b.ask(ctx, c, groups)
		return err
	})
	if c == nil {
		fail(err)
		return nil
	}
	ours := err != nil && b.failed(c, err, a)
	if err == nil {
		b.unthrottled(c)
	}
	for _, g := range groups {
		if r, ok := a.about(g); ok {
			settled[g] = r
		} else if ours {
			settled[g] = batch.Result[fetch.Document]{Err: explain(err, g, c.endpoint.Host)}
		} else {
			open = append(open, g)
		}
	}
	return open
}

// failed reports whether the error of a call is that of each of its groups.
// Else it is about batches as such, which is remembered, or about one secret in
// a service that lets it fail the others.
func (b *Backend) failed(c *client, err error, a answer) bool {
	if _, own := errors.AsType[*fault.Error](err); own {
		return true
	}
	if _, unissued := errors.AsType[*chainError](err); unissued {
		return true
	}
	why := explain(err, ref.Target{}, c.endpoint.Host)
	status, _ := httpResponse(err)
	_, stranger := errors.AsType[*notAWSError](err)
	var code, message string
	if api, ok := errors.AsType[smithy.APIError](err); ok && isServiceCode(api.ErrorCode()) {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	switch {
	case isThrottling(code) && b.throttledAgain(c, a.asked):
		b.log.Debug("AWS throttles batches, so secrets are fetched one by one", "endpoint", c.endpoint.Host)
		return false
	case a.pages > 0: // so batches are known and allowed
	case errors.Is(why, fault.Denied) && !isKMSError(code, message), stranger && status == http.StatusForbidden:
		b.refuse(c, "AWS refuses batches, so secrets are fetched one by one: needs secretsmanager:BatchGetSecretValue", codeOrStatus(code, status))
		return false
	case errors.Is(why, fault.Unsupported) && code != "InvalidRequestException", status == http.StatusNotImplemented,
		stranger && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed):
		b.refuse(c, "the endpoint does not know BatchGetSecretValue, so secrets are fetched one by one", codeOrStatus(code, status))
		return false
	}
	return errors.Is(why, fault.Unavailable) || errors.Is(why, fault.Unauthenticated)
}

// throttledAgain notes that a batch of groups was throttled. The first time they
// are asked for as a batch again, since it costs one call; if that is throttled,
// too, batches are left alone for a while.
func (b *Backend) throttledAgain(c *client, groups []ref.Target) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.throttled == nil {
		c.throttled = map[ref.Target]bool{}
	}
	for _, g := range groups {
		again = again || c.throttled[g]
		c.throttled[g] = true
	}
	if again {
		c.singlyUntil = time.Now().Add(throttlePause)
	}
	return again
}

func (b *Backend) unthrottled(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.throttled = nil
}

// refused reports whether batches were refused a short time ago.
func (b *Backend) refused(c *client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(c.singlyUntil)
}

// refuse remembers a refusal, and logs it once.
func (b *Backend) refuse(c *client, why, said string) {
	b.mu.Lock()
	known := time.Now().Before(c.singlyUntil)
	c.singlyUntil = time.Now().Add(refusalKept)
	b.mu.Unlock()
	if !known {
		b.log.Warn(why, "endpoint", c.endpoint.Host, "answer", said)
	}
}

// answer is what the pages of one batch brought.
type answer struct {
	asked  []ref.Target
	host   string
	pages  int
	values []types.SecretValueEntry
	errors map[string]types.APIErrorType // by the identifier asked for
}

// ask makes the calls of a batch. What came before an error counts.
func (b *Backend) ask(ctx context.Context, c *client, groups []ref.Target) (answer, error) {
	a := answer{asked: groups, host: c.endpoint.Host, errors: map[string]types.APIErrorType{}}
	if err := b.turn(ctx); err != nil {
		return a, err
	}
	defer b.callSlots.Release(1)
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, g := range groups {
		in.SecretIdList = append(in.SecretIdList, g.Secret)
	}
	for a.pages < maxPages {
		out, err := c.api.BatchGetSecretValue(ctx, in)
		if err != nil {
			return a, err
		}
		a.pages++
		a.values = append(a.values, out.SecretValues...)
		for _, e := range out.Errors {
			a.errors[aws.ToString(e.SecretId)] = e
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	return a, nil
}

// about returns what the answer says of a secret; not ok: nothing, or nothing
// that is certain.
func (a answer) about(g ref.Target) (r batch.Result[fetch.Document], ok bool) {
	if e, named := a.errors[g.Secret]; named {
		return batch.Result[fetch.Document]{Err: explain(entryError{e}, g, a.host)}, true
	}
	var found []types.SecretValueEntry
	for _, v := range a.values {
		if means(g.Secret, v) {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return r, false
	}
	for _, v := range found {
		switch {
		case !coherent(v):
			return batch.Result[fetch.Document]{Err: a.distrusted(g)}, true
		case *v.ARN != *found[0].ARN:
			return r, false // secrets of one name, in two accounts
		case !sameValue(v, found[0]):
			return batch.Result[fetch.Document]{Err: a.distrusted(g)}, true
		}
	}
	if !isARN(g.Secret) && len(found) < a.meaning(found[0]) {
		return r, false // it may be the one of another account, which an ARN asked for
	}
	r.Value, r.Err = document(found[0].SecretString, found[0].SecretBinary, g)
	return r, true
}

// distrusted is the error of a secret about which an answer contradicts itself.
func (a answer) distrusted(g ref.Target) error {
	return fault.New(fault.Unavailable, "the answer of %s contradicts itself about secret %q in region %q: is it AWS Secrets Manager?",
		a.host, g.Secret, g.Region).Permanently()
}

// meaning counts the identifiers asked for that mean v.
func (a answer) meaning(v types.SecretValueEntry) (n int) {
	for _, g := range a.asked {
		if means(g.Secret, v) {
			n++
		}
	}
	return n
}

func isARN(id string) bool { return strings.HasPrefix(id, "arn:") }

// means reports whether id is the name, the ARN, or the ARN without its suffix
// of v. AWS takes for complete what ends as if it had one.
func means(id string, v types.SecretValueEntry) bool {
	if !isARN(id) {
		return aws.ToString(v.Name) == id
	}
	full := aws.ToString(v.ARN)
	return full == id || !hasRandomSuffix(id) && hasRandomSuffix(full) && full[:len(full)-len(suffixPattern)] == id
}

// coherent reports whether the ARN of v is that of its name. Some emulators
// append no suffix.
func coherent(v types.SecretValueEntry) bool {
	full, end := aws.ToString(v.ARN), ":secret:"+aws.ToString(v.Name)
	return strings.HasSuffix(full, end) || hasRandomSuffix(full) && strings.HasSuffix(full[:len(full)-len(suffixPattern)], end)
}

func sameValue(v, w types.SecretValueEntry) bool {
	return (v.SecretString == nil) == (w.SecretString == nil) && aws.ToString(v.SecretString) == aws.ToString(w.SecretString) &&
		string(v.SecretBinary) == string(w.SecretBinary)
}

// entryError is the error of one secret in a batch as GetSecretValue would
// answer with it.
type entryError struct{ entry types.APIErrorType }

func (e entryError) ErrorCode() string             { return aws.ToString(e.entry.ErrorCode) }
func (e entryError) ErrorMessage() string          { return aws.ToString(e.entry.Message) }
func (e entryError) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
func (e entryError) HTTPStatusCode() int           { return http.StatusBadRequest }
func (e entryError) Error() string                 { return "an error in a batch" }
