package awssm_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

const (
	region          = "eu-west-1"
	batchPermission = "secretsmanager:BatchGetSecretValue"
)

// desk is a Batcher without a Fetcher.
type desk struct {
	t       *testing.T
	backend *awssm.Batcher
	log     *bytes.Buffer
}

func openDesk(t *testing.T, given *aws.Config, allow func(*url.URL) error) *desk {
	d := &desk{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.backend = awssm.NewBatcher(awssm.New(given, &httpguard.Policy{Allow: allow, Log: log}, log))
	t.Cleanup(d.backend.Close)
	t.Cleanup(func() { require.NotContains(t, d.log.String(), canary) })
	return d
}

// batched returns a fake that accepts the test key, and a desk that calls it.
func batched(t *testing.T) (*fakeaws.Server, *desk) {
	s := fake(t)
	keyed(t)
	return s, openDesk(t, nil, nil)
}

func group(id string) ref.Target { return ref.Target{Kind: ref.AWS, Region: region, Secret: id} }

// result is the outcome for one secret.
type result struct {
	Value backend.Document
	Err   error
}

// fetch queues all secrets in one step and waits for them.
func (d *desk) fetch(ids ...string) []result { return d.fetchWith(d.t.Context(), ids...) }

func (d *desk) fetchWith(ctx context.Context, ids ...string) []result {
	d.t.Helper()
	targets := make([]ref.Target, len(ids))
	for i, id := range ids {
		targets[i] = group(id)
	}
	got := make([]result, len(ids))
	var all sync.WaitGroup
	for i, pending := range d.backend.Queue(ctx, targets) {
		all.Go(func() { got[i].Value, got[i].Err = pending.Wait(ctx) })
	}
	all.Wait()
	for _, r := range got {
		if r.Err != nil {
			require.Empty(d.t, r.Value)
			silent(d.t, r.Err)
		}
	}
	return got
}

// texts is like fetch, for secrets that all exist.
func (d *desk) texts(ids ...string) (texts []string) {
	d.t.Helper()
	for i, r := range d.fetch(ids...) {
		require.NoError(d.t, r.Err, ids[i])
		texts = append(texts, r.Value.Text)
	}
	return texts
}

// single returns the error of a secret that is fetched alone.
func (d *desk) single(id string) error {
	d.t.Helper()
	_, err := d.backend.Fetch(d.t.Context(), group(id))
	require.Error(d.t, err)
	return err
}

// calls returns the number of calls since the last time.
func calls(s *fakeaws.Server) (batches, singles int) {
	for _, r := range s.Requests() {
		if r.Action == "BatchGetSecretValue" {
			batches++
		} else {
			singles++
		}
	}
	s.ResetCalls()
	return batches, singles
}

func requireCalls(t *testing.T, s *fakeaws.Server, batches, singles int) {
	t.Helper()
	b, one := calls(s)
	require.Equal(t, []int{batches, singles}, []int{b, one}, "batches and single calls")
}

func partial(arn string) string { return arn[:len(arn)-len("-??????")] }

func TestBatch(t *testing.T) {
	s, d := batched(t)
	var ids, want []string
	for i := range awssm.MaxBatch {
		ids = append(ids, fmt.Sprint("secret", i))
		want = append(want, fmt.Sprint("value", i))
		s.PutSecret(region, ids[i], want[i])
	}
	require.Equal(t, want, d.texts(ids...))
	requireCalls(t, s, 1, 0)
	require.NotContains(t, d.log.String(), "level=WARN")
}

func TestBatchOfOne(t *testing.T) {
	s, d := batched(t)
	require.Equal(t, []string{"hunter2"}, d.texts("db"))
	require.Equal(t, []string{"hunter2"}, d.texts("db"))
	requireCalls(t, s, 0, 2)
	require.Empty(t, d.fetch())
}

func TestBatchIdentifiers(t *testing.T) {
	s, d := batched(t)
	arn := map[string]string{}
	for _, name := range []string{"db", "db-replica", "team/db", "db-master", "DB"} {
		arn[name] = s.PutSecret(region, name, "value of "+name)
	}
	s.PutBinary(region, "keystore", []byte{0, 0xff})
	for name, c := range map[string]struct {
		ids, want []string
		singles   int
	}{
		"names": {[]string{"team/db", "db", "DB", "db-replica"},
			[]string{"value of team/db", "value of db", "value of DB", "value of db-replica"}, 0},
		"ARNs": {[]string{arn["db-replica"], arn["db"]},
			[]string{"value of db-replica", "value of db"}, 0},
		"partial": {[]string{partial(arn["db"]), partial(arn["db-replica"])},
			[]string{"value of db", "value of db-replica"}, 0},
		"all of 1": {[]string{"db", arn["db"], partial(arn["db"])},
			[]string{"value of db", "value of db", "value of db"}, 0},
		"twice": {[]string{"db", "DB", "db"}, []string{"value of db", "value of DB", "value of db"},
			0},
		"binary": {[]string{"keystore", "db"}, []string{"\x00\xff", "value of db"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, d.texts(c.ids...))
			for _, r := range s.Requests() {
				seen := map[string]bool{}
				for _, id := range r.SecretIDs {
					require.False(t, seen[id], "AWS refuses repetitions")
					seen[id] = true
				}
			}
			requireCalls(t, s, 1, c.singles)
		})
	}
}

// AWS regards an ARN that ends in a hyphen and six characters as complete.
func TestBatchNameLikeARNSuffix(t *testing.T) {
	s, d := batched(t)
	full := s.PutSecret(region, "db", "the short one's")
	ending := full[len(full)-len("-??????"):]
	long := s.PutSecret(region, "db"+ending, "the long one's")
	require.Equal(t, full, partial(long))
	require.Equal(t, []string{"the short one's", "the long one's", "the long one's"},
		d.texts(full, "db"+ending, long))
	requireCalls(t, s, 1, 0)

	s.DeleteSecret(region, "db")
	got := d.fetch(full, long)
	require.ErrorIs(t, got[0].Err, fault.NotFound)
	require.Equal(t, "the long one's", got[1].Value.Text)
	calls(s)

	// If the answer does not contain the short one, the long one is not its answer.
	answers(s, page{Values: []entry{{ARN: long, Name: "db" + ending, Text: "the long one's"}}})
	got = d.fetch(full, long)
	require.ErrorIs(t, got[0].Err, fault.NotFound)
	require.Equal(t, "the long one's", got[1].Value.Text)
	requireCalls(t, s, 1, 1)
}

func TestBatchErrorsOfOneSecret(t *testing.T) {
	s, d := batched(t)
	s.PutSecret(region, "gone", canary)
	s.DeleteSecret(region, "gone")
	s.CreateEmpty(region, "empty")
	s.PutSecret(region, "denied", canary)
	s.Deny("secretsmanager:GetSecretValue", "denied")
	s.PutSecret(region, "kms", canary)
	s.Deny("kms:Decrypt", "kms")
	elsewhere := s.PutSecret("us-east-1", "elsewhere", canary)
	kinds := map[string]error{
		"absent": fault.NotFound, "gone": fault.NotFound, "empty": fault.NotFound, "denied": fault.Denied,
		"kms":     fault.Denied,
		elsewhere: fault.NotFound, "no name": fault.Syntax,
	}
	ids := []string{"db"}
	for id := range kinds {
		ids = append(ids, id)
	}
	got := d.fetch(ids...)
	requireCalls(t, s, 1, 0)
	require.NoError(t, got[0].Err)
	require.Equal(t, "hunter2", got[0].Value.Text)
	for i, id := range ids[1:] {
		require.ErrorIs(t, got[i+1].Err, kinds[id], id)
		require.EqualError(t, got[i+1].Err, d.single(id).Error())
	}
}

func TestBatchErrorCodesOfOneSecret(t *testing.T) {
	s, d := batched(t)
	for code, kind := range map[string]error{
		"ThrottlingException": fault.Unavailable, "InternalServiceError": fault.Unavailable,
		"DecryptionFailure": fault.Denied,
		"NewException":      fault.Unsupported, canary: fault.Unsupported, "": fault.Unsupported,
	} {
		answers(s, page{Values: []entry{s1}, Errors: []failure{{"s2", code, "about " + canary}}})
		got := d.fetch("s1", "s2")
		require.NoError(t, got[0].Err)
		require.ErrorIs(t, got[1].Err, kind, code)
		requireCalls(t, s, 1, 0)
	}
}

func TestBatchAllowEndpoint(t *testing.T) {
	s := fake(t)
	keyed(t)
	refusing := &endpointRecorder{allow: []string{"https://elsewhere"}}
	for _, r := range openDesk(t, nil, refusing.check).fetch("db", "other") {
		require.ErrorIs(t, r.Err, fault.Denied)
	}
	require.Zero(t, s.Calls())
	require.Len(t, refusing.checked, 1)
	s.PutSecret(region, "other", "value")
	open := &endpointRecorder{allow: []string{s.URL()}}
	openDesk(t, nil, open.check).texts("db", "other")
	require.Len(t, open.checked, 1)
}

func TestBatchRedirect(t *testing.T) {
	s, d := batched(t)
	other := fake(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	keyed(t)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL(), http.StatusTemporaryRedirect)
		return true
	})
	for _, r := range d.fetch("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "redirect")
	}
	requireCalls(t, s, 1, 0)
}

func TestBatchUnreachable(t *testing.T) {
	fake(t)
	keyed(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", closedPort(t))
	for _, r := range openDesk(t, nil, nil).fetch("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "refuses connections")
	}
	bare(t)
	for _, r := range openDesk(t, nil, nil).fetch("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unauthenticated)
		require.ErrorContains(t, r.Err, "no AWS credentials found")
	}
}

func TestBatchPanic(t *testing.T) {
	fake(t)
	keyed(t)
	d := openDesk(t, nil, func(*url.URL) error { panic(canary) })
	for _, r := range d.fetch("db", "db-2") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		_, again := fault.Transient(r.Err)
		require.False(t, again)
	}
}

func TestBatchCanceled(t *testing.T) {
	s, d := batched(t)
	s.Latency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, r := range d.fetchWith(ctx, "a", "b") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "did not answer in time")
	}
	requireCalls(t, s, 1, 0)
}
