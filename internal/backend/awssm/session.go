package awssm

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// reloadPause is the time for which credentials are not retrieved again after AWS
// refused new ones.
const reloadPause = 5 * time.Second

// attempt makes one call with the client for at. If AWS refuses credentials that
// have been replaced since they were loaded, it loads the configuration again and
// repeats the call once. It returns the client that made the last call, or nil if
// there was no call.
func (b *Backend) attempt(ctx context.Context, at clientKey, call func(*client) error) (*client,
	error) {
	c, err := b.allowedClient(ctx, at)
	if err != nil {
		return nil, err
	}
	before := c.session.chain.lastIssued.Load() // nil if this call retrieves the first ones
	err = call(c)
	if before != nil && credentialsRejected(err, c) {
		var renewed bool
		if c, renewed, err = b.reauthenticate(ctx, at, c, *before, err); renewed {
			err = call(c)
		}
	}
	b.recordOutcome(at, c, err)
	return c, err
}

func (b *Backend) allowedClient(ctx context.Context, at clientKey) (*client, error) {
	c, err := b.client(ctx, at)
	if err != nil {
		return nil, err
	}
	if err := b.policy.Check(c.endpoint); err != nil {
		return nil, err
	}
	return c, nil
}

// credentialsRejected reports whether the credentials of c's session are useless:
// AWS refused them, or their source refused to issue any.
func credentialsRejected(err error, c *client) bool {
	if err == nil {
		return false
	}
	if _, unissued := errors.AsType[*chainError](err); !unissued {
		if from := respondingHost(err); from != "" && from != c.endpoint.Host {
			return false // they were signed for another host
		}
	}
	why := explain(err, ref.Target{}, c.endpoint.Host)
	return errors.Is(why, fault.Unauthenticated) && !errors.Is(why, fault.Unavailable)
}

// reauthenticate returns a client with other credentials than before, those with
// which a call of the refused client failed with cause. If there are none, renewed
// is false and err is the reason.
func (b *Backend) reauthenticate(
	ctx context.Context, at clientKey, refused *client, before aws.Credentials, cause error,
) (c *client, renewed bool, err error) {
	b.mu.Lock()
	current := b.session == refused.session
	wait := current && !refused.session.chain.reloadIsFree && time.Now().Before(b.pausedUntil[at])
	b.mu.Unlock()
	if wait {
		return refused, false, cause
	}
	if current {
		b.dropSession(refused.session)
	}
	if c, err = b.allowedClient(ctx, at); err != nil {
		return refused, false, err
	}
	now, err := c.session.chain.Retrieve(ctx)
	if err != nil {
		return c, false, err
	}
	if sameKeys(before, now) {
		return c, false, cause
	}
	return c, true, nil
}

// recordOutcome drops the session, or begins or ends a pause, depending on the
// outcome of a call.
func (b *Backend) recordOutcome(at clientKey, c *client, err error) {
	switch _, unissued := errors.AsType[*chainError](err); {
	case unissued && !errors.Is(err, context.Canceled):
		// The next call must see a repaired configuration, and must not wait for a
		// hung request.
		b.dropSession(c.session)
	case credentialsRejected(err, c):
		if c.session.chain.reloadIsFree {
			b.dropSession(c.session) // reading a file again is cheap
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if now := time.Now(); !now.Before(b.pausedUntil[at]) {
			b.pausedUntil[at] = now.Add(reloadPause)
		}
	case err == nil:
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.pausedUntil, at)
	}
}

func sameKeys(a, b aws.Credentials) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey &&
		a.SessionToken == b.SessionToken
}
