package awssm

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// maxPages limits the pages of one batch: AWS may split an answer into pages.
const maxPages = MaxBatch

// batchResult is the outcome for one target of a batch.
type batchResult struct {
	document backend.Document
	err      error
	open     bool // the call says nothing certain about the target: fetch it singly
}

// fetchBatch makes one BatchGetSecretValue call for the targets of a queue. It
// returns one result for each, in order.
func (b *Batcher) fetchBatch(ctx context.Context, q *queue, targets []ref.Target) []batchResult {
	var a answer
	c, err := b.attempt(ctx, q.at, func(c *client) (err error) {
		a, err = ask(ctx, c, distinct(targets))
		return err
	})
	failed := c == nil || err != nil && b.failsAll(q, c, err, a)
	results := make([]batchResult, len(targets))
	for i, target := range targets {
		r, ok := a.about(target)
		switch {
		case ok:
		case c == nil:
			r = batchResult{err: err}
		case failed:
			r = batchResult{err: explain(err, target, c.endpoint.Host)}
		default:
			r = batchResult{open: true}
		}
		results[i] = r
	}
	return results
}

// distinct removes duplicates, which AWS refuses.
func distinct(targets []ref.Target) (out []ref.Target) {
	seen := make(map[ref.Target]bool, len(targets))
	for _, target := range targets {
		if !seen[target] {
			seen[target] = true
			out = append(out, target)
		}
	}
	return out
}

// failsAll reports whether the error of a call is that of each target. Otherwise it
// is about batches as such, which pauses them, or about one secret in a service
// that lets it fail the others: the targets are fetched singly.
func (b *Batcher) failsAll(q *queue, c *client, err error, a answer) bool {
	if _, own := errors.AsType[*fault.Error](err); own {
		return true
	}
	if _, unissued := errors.AsType[*chainError](err); unissued {
		return true
	}
	why := explain(err, ref.Target{}, c.endpoint.Host)
	status, _ := httpResponse(err)
	_, notAWS := errors.AsType[*notAWSError](err)
	var code, message string
	if api, ok := errors.AsType[smithy.APIError](err); ok && isServiceCode(api.ErrorCode()) {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	switch {
	case isThrottling(code):
		if q.pause(c.session, throttlePause) {
			b.log.Debug("AWS throttles batches, so secrets are fetched one by one",
				"endpoint", c.endpoint.Host)
		}
		return false
	case a.pages > 0: // the endpoint knows batches, and they are allowed
	case errors.Is(why, fault.Denied) && !isKMSError(code, message),
		notAWS && status == http.StatusForbidden:
		if q.pause(c.session, refusalPause) {
			b.log.Warn("AWS refuses batches, so secrets are fetched one by one: "+
				"needs secretsmanager:BatchGetSecretValue",
				"endpoint", c.endpoint.Host, "answer", codeOrStatus(code, status))
		}
		return false
	case errors.Is(why, fault.Unsupported) && code != "InvalidRequestException",
		status == http.StatusNotImplemented,
		notAWS && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed):
		if q.pause(c.session, refusalPause) {
			b.log.Warn("the endpoint does not know BatchGetSecretValue, so secrets are fetched one by one",
				"endpoint", c.endpoint.Host, "answer", codeOrStatus(code, status))
		}
		return false
	}
	return errors.Is(why, fault.Unavailable) || errors.Is(why, fault.Unauthenticated)
}

// answer is the content of all pages of one batch.
type answer struct {
	asked  []ref.Target
	host   string
	pages  int
	values []types.SecretValueEntry
	errors map[string]types.APIErrorType // by the identifier asked for
}

// ask requests the pages of a batch. With an error, the answer has the pages
// before it.
func ask(ctx context.Context, c *client, targets []ref.Target) (answer, error) {
	a := answer{asked: targets, host: c.endpoint.Host, errors: map[string]types.APIErrorType{}}
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, g := range targets {
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

// about returns what the answer says about a secret. It reports false if that is
// nothing, or nothing certain.
func (a answer) about(g ref.Target) (r batchResult, ok bool) {
	if e, named := a.errors[g.Secret]; named {
		return batchResult{err: explain(entryError{e}, g, a.host)}, true
	}
	var found []types.SecretValueEntry
	for _, v := range a.values {
		if matches(g.Secret, v) {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return r, false
	}
	for _, v := range found {
		switch {
		case !coherent(v):
			return batchResult{err: a.distrusted(g)}, true
		case *v.ARN != *found[0].ARN:
			return r, false // two accounts have secrets of this name
		case !sameValue(v, found[0]):
			return batchResult{err: a.distrusted(g)}, true
		}
	}
	if !isARN(g.Secret) && len(found) < a.countMatches(found[0]) {
		return r, false // it may belong to another account, if an ARN of that one is in the batch
	}
	r.document, r.err = document(found[0].SecretString, found[0].SecretBinary, g)
	return r, true
}

// distrusted returns the error for a secret about which the answer contradicts
// itself.
func (a answer) distrusted(g ref.Target) error {
	return fault.New(fault.Unavailable,
		"the answer of %s contradicts itself about secret %q in region %q: "+
			"is it AWS Secrets Manager?", a.host, g.Secret, g.Region).Permanently()
}

// countMatches returns how many requested identifiers match v.
func (a answer) countMatches(v types.SecretValueEntry) (n int) {
	for _, g := range a.asked {
		if matches(g.Secret, v) {
			n++
		}
	}
	return n
}

func isARN(id string) bool { return strings.HasPrefix(id, "arn:") }

// matches reports whether id is the name, the ARN, or the ARN without its suffix
// of v. AWS takes an ARN that ends like a suffix for a complete one.
func matches(id string, v types.SecretValueEntry) bool {
	if !isARN(id) {
		return aws.ToString(v.Name) == id
	}
	full := aws.ToString(v.ARN)
	return full == id ||
		!hasRandomSuffix(id) && hasRandomSuffix(full) && full[:len(full)-len(suffixPattern)] == id
}

// coherent reports whether the ARN of v contains its name. Some emulators append no
// suffix.
func coherent(v types.SecretValueEntry) bool {
	full, end := aws.ToString(v.ARN), ":secret:"+aws.ToString(v.Name)
	return strings.HasSuffix(full, end) ||
		hasRandomSuffix(full) && strings.HasSuffix(full[:len(full)-len(suffixPattern)], end)
}

func sameValue(v, w types.SecretValueEntry) bool {
	return (v.SecretString == nil) == (w.SecretString == nil) &&
		aws.ToString(v.SecretString) == aws.ToString(w.SecretString) &&
		string(v.SecretBinary) == string(w.SecretBinary)
}

// entryError is the error of one secret in a batch, in the form that GetSecretValue
// returns it.
type entryError struct{ entry types.APIErrorType }

func (e entryError) ErrorCode() string             { return aws.ToString(e.entry.ErrorCode) }
func (e entryError) ErrorMessage() string          { return aws.ToString(e.entry.Message) }
func (e entryError) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
func (e entryError) HTTPStatusCode() int           { return http.StatusBadRequest }
func (e entryError) Error() string                 { return "an error in a batch" }
