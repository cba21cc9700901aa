package awssm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/batch"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

const (
	region          = "eu-west-1"
	batchPermission = "secretsmanager:BatchGetSecretValue"
)

// desk is a backend without a pipeline.
type desk struct {
	t       *testing.T
	backend *awssm.Backend
	log     *bytes.Buffer
}

func openDesk(t *testing.T, given *aws.Config, allow func(*url.URL) error) *desk {
	d := &desk{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.backend = awssm.New(given, &httpguard.Policy{Allow: allow, Log: log}, log)
	t.Cleanup(d.backend.Close)
	t.Cleanup(func() { require.NotContains(t, d.log.String(), canary) })
	return d
}

// batched is a fake that knows our key, and a desk before it.
func batched(t *testing.T) (*fakeaws.Server, *desk) {
	s := fake(t)
	keyed(t)
	return s, openDesk(t, nil, nil)
}

func group(id string) ref.Target { return ref.Target{Kind: ref.AWS, Region: region, Secret: id} }

func (d *desk) ask(ids ...string) []batch.Result[fetch.Document] {
	d.t.Helper()
	groups := make([]ref.Target, len(ids))
	for i, id := range ids {
		groups[i] = group(id)
	}
	got := d.backend.FetchBatch(d.t.Context(), groups)
	require.Len(d.t, got, len(ids))
	for _, r := range got {
		if r.Err != nil {
			require.Empty(d.t, r.Value)
			silent(d.t, r.Err)
		}
	}
	return got
}

// texts requires that all come.
func (d *desk) texts(ids ...string) (texts []string) {
	d.t.Helper()
	for i, r := range d.ask(ids...) {
		require.NoError(d.t, r.Err, ids[i])
		texts = append(texts, r.Value.Text)
	}
	return texts
}

// single is the error of a secret when it is asked for alone.
func (d *desk) single(id string) error {
	d.t.Helper()
	_, err := d.backend.Fetch(d.t.Context(), group(id))
	require.Error(d.t, err)
	return err
}

// calls counts the calls since the last time.
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

func TestABatchIsOneCall(t *testing.T) {
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

func TestOneSecretNeedsNoPermissionForBatches(t *testing.T) {
	s, d := batched(t)
	require.Equal(t, []string{"hunter2"}, d.texts("db"))
	require.Equal(t, []string{"hunter2", "hunter2"}, d.texts("db", "db"))
	requireCalls(t, s, 0, 2)
	require.Empty(t, d.ask())
}

func TestEachIdentifierGetsItsSecret(t *testing.T) {
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
		"names":    {[]string{"team/db", "db", "DB", "db-replica"}, []string{"value of team/db", "value of db", "value of DB", "value of db-replica"}, 0},
		"ARNs":     {[]string{arn["db-replica"], arn["db"]}, []string{"value of db-replica", "value of db"}, 0},
		"partial":  {[]string{partial(arn["db"]), partial(arn["db-replica"])}, []string{"value of db", "value of db-replica"}, 0},
		"all of 1": {[]string{"db", arn["db"], partial(arn["db"])}, []string{"value of db", "value of db", "value of db"}, 0},
		"twice":    {[]string{"db", "DB", "db"}, []string{"value of db", "value of DB", "value of db"}, 0},
		"binary":   {[]string{"keystore", "db"}, []string{"\x00\xff", "value of db"}, 0},
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

// What ends in a hyphen and six characters is complete to AWS.
func TestANameThatLooksLikeAnARNsEndIsNotTakenForAnother(t *testing.T) {
	s, d := batched(t)
	full := s.PutSecret(region, "db", "the short one's")
	ending := full[len(full)-len("-??????"):]
	long := s.PutSecret(region, "db"+ending, "the long one's")
	require.Equal(t, full, partial(long))
	require.Equal(t, []string{"the short one's", "the long one's", "the long one's"}, d.texts(full, "db"+ending, long))
	requireCalls(t, s, 1, 0)

	s.DeleteSecret(region, "db")
	got := d.ask(full, long)
	require.ErrorIs(t, got[0].Err, fault.NotFound)
	require.Equal(t, "the long one's", got[1].Value.Text)
	calls(s)

	// Where the service says nothing of the short one, the long one is no
	// answer.
	answers(s, page{Values: []entry{{ARN: long, Name: "db" + ending, Text: "the long one's"}}})
	got = d.ask(full, long)
	require.ErrorIs(t, got[0].Err, fault.NotFound)
	require.Equal(t, "the long one's", got[1].Value.Text)
	requireCalls(t, s, 1, 1)
}

func TestEachSecretFailsAloneAndInTheWordsOfASingleCall(t *testing.T) {
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
		"absent": fault.NotFound, "gone": fault.NotFound, "empty": fault.NotFound, "denied": fault.Denied, "kms": fault.Denied,
		elsewhere: fault.NotFound, "no name": fault.Syntax,
	}
	ids := []string{"db"}
	for id := range kinds {
		ids = append(ids, id)
	}
	got := d.ask(ids...)
	requireCalls(t, s, 1, 0)
	require.NoError(t, got[0].Err)
	require.Equal(t, "hunter2", got[0].Value.Text)
	for i, id := range ids[1:] {
		require.ErrorIs(t, got[i+1].Err, kinds[id], id)
		require.EqualError(t, got[i+1].Err, d.single(id).Error())
	}
}

func TestErrorsOfTheServiceAboutOneSecret(t *testing.T) {
	s, d := batched(t)
	for code, kind := range map[string]error{
		"ThrottlingException": fault.Unavailable, "InternalServiceError": fault.Unavailable, "DecryptionFailure": fault.Denied,
		"NewException": fault.Unsupported, canary: fault.Unsupported, "": fault.Unsupported,
	} {
		answers(s, page{Values: []entry{s1}, Errors: []failure{{"s2", code, "about " + canary}}})
		got := d.ask("s1", "s2")
		require.NoError(t, got[0].Err)
		require.ErrorIs(t, got[1].Err, kind, code)
		requireCalls(t, s, 1, 0)
	}
}

func TestDeniedBatchesAreFetchedSinglyAndTriedAgainLater(t *testing.T) {
	for name, prepare := range map[string]func(s *fakeaws.Server){
		"denied":                  func(s *fakeaws.Server) { s.Deny(batchPermission, "*") },
		"unknown":                 func(s *fakeaws.Server) { s.Fail(1, 400, "UnknownOperationException", nil) },
		"unknown, as a 404":       func(s *fakeaws.Server) { s.Fail(1, 404, "UnknownOperationException", nil) },
		"unknown, without a code": func(s *fakeaws.Server) { s.Fail(1, 404, "", nil) },
		"not implemented":         func(s *fakeaws.Server) { s.Fail(1, 501, "InternalFailure", nil) },
		"stopped on the way":      func(s *fakeaws.Server) { s.Fail(1, 403, "", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			s.PutSecret(region, "other", "value")
			prepare(s)
			for range 3 {
				got := d.ask("db", "absent", "other")
				require.Equal(t, "hunter2", got[0].Value.Text)
				require.ErrorIs(t, got[1].Err, fault.NotFound)
				require.Equal(t, "value", got[2].Value.Text)
			}
			requireCalls(t, s, 1, 9)
			require.Equal(t, 1, strings.Count(d.log.String(), "level=WARN"))
			require.Contains(t, d.log.String(), "BatchGetSecretValue")
			if strings.HasPrefix(name, "denied") {
				require.Contains(t, d.log.String(), "needs "+batchPermission)
			}
		})
	}
}

// over answers without a network, for a bubble.
type over func(ctx context.Context, action string) (status int, body string)

func (o over) config() *aws.Config {
	return &aws.Config{Credentials: credentials.NewStaticCredentialsProvider(keyID, key, ""), HTTPClient: o}
}

func (o over) Do(req *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	status, body := o(req.Context(), action)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}, nil
}

func TestARefusalIsRememberedForFiveMinutes(t *testing.T) {
	bare(t)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		batches := 0
		d := openDesk(t, over(func(_ context.Context, action string) (int, string) {
			if action == "GetSecretValue" {
				return 200, `{"SecretString":"x"}`
			}
			batches++
			return 400, `{"__type":"AccessDeniedException","Message":"not authorized to perform: ` + batchPermission + `"}`
		}).config(), nil)
		d.texts("a", "b")
		time.Sleep(5*time.Minute - time.Nanosecond)
		d.texts("a", "b")
		require.Equal(t, 1, batches)
		time.Sleep(time.Nanosecond)
		d.texts("a", "b")
		require.Equal(t, 2, batches)
		require.Equal(t, 2, strings.Count(d.log.String(), "level=WARN"))
	})
}

func TestFiftyCallsRunAtATime(t *testing.T) {
	bare(t)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		known := true // are batches
		d := openDesk(t, over(func(ctx context.Context, action string) (int, string) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			switch {
			case action == "GetSecretValue":
				return 200, `{"SecretString":"x"}`
			case known:
				return 200, `{"SecretValues":[{"ARN":"` + s1.ARN + `","Name":"s1","SecretString":"x"},{"ARN":"` + s2.ARN + `","Name":"s2","SecretString":"x"}]}`
			}
			return 404, ""
		}).config(), nil)
		pairs := func(ctx context.Context, n int) (failed []error, took time.Duration) {
			start := time.Now()
			var mu sync.Mutex
			var callers sync.WaitGroup
			for range n {
				callers.Go(func() {
					for _, r := range d.backend.FetchBatch(ctx, []ref.Target{group("s1"), group("s2")}) {
						mu.Lock()
						if r.Err != nil {
							failed = append(failed, r.Err)
						}
						mu.Unlock()
					}
				})
			}
			callers.Wait()
			return failed, time.Since(start)
		}
		failed, took := pairs(t.Context(), 100)
		require.Empty(t, failed)
		require.Equal(t, 2*time.Second, took, "twice fifty batches")

		known = false
		failed, took = pairs(t.Context(), 50)
		require.Empty(t, failed)
		require.Equal(t, 3*time.Second, took, "fifty batches, and twice fifty single calls")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		failed, took = pairs(ctx, 50)
		require.Equal(t, time.Second/2, took)
		require.Len(t, failed, 100)
		missed := 0
		for _, err := range failed {
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			if strings.Contains(err.Error(), "its turn") {
				missed++
			}
		}
		require.Equal(t, 50, missed)
	})
}

func TestARefusalOfSeveralAtATimeIsToldOnce(t *testing.T) {
	s, d := batched(t)
	s.Deny(batchPermission, "*")
	s.Latency(50 * time.Millisecond)
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() { d.ask("db", "other") })
	}
	callers.Wait()
	require.Equal(t, 1, strings.Count(d.log.String(), "level=WARN"))
}

func TestARefusalIsForgottenWithTheCredentials(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	d := openDesk(t, nil, nil)
	s.Deny(batchPermission, "*")
	d.texts("db", s.PutSecret(region, "other", "value"))
	requireCalls(t, s, 1, 2)
	s.ExpireCredentials()
	d.texts("db", "other")
	batches, _ := calls(s)
	require.Zero(t, batches)
	s.Allow(batchPermission, "*")
	d.texts("db", "other")
	requireCalls(t, s, 1, 0)
}

func TestAFailureOfTheWholeCallIsThatOfEach(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		kind   error
	}{
		"throttled":   {400, "ThrottlingException", fault.Unavailable},
		"down":        {503, "", fault.Unavailable},
		"failing":     {500, "InternalServiceError", fault.Unavailable},
		"who is that": {400, "UnrecognizedClientException", fault.Unauthenticated},
		"expired":     {400, "ExpiredTokenException", fault.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			s.PutSecret(region, "other", "value")
			s.Fail(1, c.status, c.code, http.Header{"Retry-After": {"7"}})
			for _, r := range d.ask("db", "other") {
				require.ErrorIs(t, r.Err, c.kind)
				if wait, again := fault.Transient(r.Err); again {
					require.Equal(t, 7*time.Second, wait)
				}
			}
			requireCalls(t, s, 1, 0)
			require.Equal(t, []string{"hunter2", "value"}, d.texts("db", "other"))
			requireCalls(t, s, 1, 0)
		})
	}
}

func TestRefusedCredentialsAreLookedForAgainByABatch(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	s.PutSecret(region, "other", "value")
	d := openDesk(t, nil, nil)
	d.texts("db", "other")
	s.ExpireCredentials()
	require.Equal(t, []string{"hunter2", "value"}, d.texts("db", "other"))
	require.Len(t, s.STSRequests(), 2)
}

// Some services let the first secret that fails fail the call.
func TestAFailureAboutOneSecretDoesNotFailTheOthers(t *testing.T) {
	for _, code := range []string{"ResourceNotFoundException", "InvalidRequestException", "ValidationException", "InvalidParameterException", "DecryptionFailure"} {
		t.Run(code, func(t *testing.T) {
			s, d := batched(t)
			s.Fail(1, 400, code, nil)
			for range 2 {
				got := d.ask("absent", "db")
				require.ErrorIs(t, got[0].Err, fault.NotFound)
				require.Equal(t, "hunter2", got[1].Value.Text)
			}
			requireCalls(t, s, 2, 2) // it says nothing about the next batch
			require.NotContains(t, d.log.String(), "level=WARN")
		})
	}
}

func TestAllowEndpointIsAskedOnceForABatch(t *testing.T) {
	s := fake(t)
	keyed(t)
	refusing := &gate{allow: []string{"https://elsewhere"}}
	for _, r := range openDesk(t, nil, refusing.check).ask("db", "other") {
		require.ErrorIs(t, r.Err, fault.Denied)
	}
	require.Zero(t, s.Calls())
	require.Len(t, refusing.asked, 1)
	s.PutSecret(region, "other", "value")
	open := &gate{allow: []string{s.URL()}}
	openDesk(t, nil, open.check).texts("db", "other")
	require.Len(t, open.asked, 1)
}

func TestARefusedRedirectIsTheErrorOfEach(t *testing.T) {
	s, d := batched(t)
	other := fake(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	keyed(t)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL(), http.StatusTemporaryRedirect)
		return true
	})
	for _, r := range d.ask("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "redirect")
	}
	requireCalls(t, s, 1, 0)
}

func TestNobodyThereIsTheErrorOfEach(t *testing.T) {
	fake(t)
	keyed(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", closed(t))
	for _, r := range openDesk(t, nil, nil).ask("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "refuses connections")
	}
	bare(t)
	for _, r := range openDesk(t, nil, nil).ask("db", "other") {
		require.ErrorIs(t, r.Err, fault.Unauthenticated)
		require.ErrorContains(t, r.Err, "no AWS credentials found")
	}
}

func TestAPanicInASingleCallIsItsError(t *testing.T) {
	s := fake(t)
	keyed(t)
	s.Deny(batchPermission, "*")
	var asked atomic.Int32
	d := openDesk(t, nil, func(*url.URL) error {
		if asked.Add(1) > 1 {
			panic(canary)
		}
		return nil
	})
	got := d.ask("db", "db-2")
	require.ErrorIs(t, got[0].Err, fault.Unavailable)
	require.ErrorIs(t, got[1].Err, fault.Unavailable)
}

// A page of a hostile, or broken, answer.
type page struct {
	Values []entry   `json:"SecretValues,omitempty"`
	Errors []failure `json:",omitempty"`
	Next   string    `json:"NextToken,omitempty"`
}

type entry struct {
	ARN  string `json:",omitempty"`
	Name string `json:",omitempty"`
	Text any    `json:"SecretString,omitempty"`
	Blob []byte `json:"SecretBinary,omitempty"`
}

type failure struct {
	ID      string `json:"SecretId"`
	Code    string `json:"ErrorCode"`
	Message string
}

// answers makes the fake answer batches, and nothing else, with pages in turn;
// the last one again and again.
// It returns the tokens that the requests for them carry.
func answers(s *fakeaws.Server, pages ...page) (tokens *[]string) {
	tokens = new([]string)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetSecretValue") {
			return false
		}
		var in struct{ NextToken string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		*tokens = append(*tokens, in.NextToken)
		_ = json.NewEncoder(w).Encode(pages[0])
		if len(pages) > 1 {
			pages = pages[1:]
		}
		return true
	})
	return tokens
}

const prefix = "arn:aws:secretsmanager:" + region + ":" + fakeaws.Account + ":secret:"

var (
	s1      = entry{ARN: prefix + "s1-AAAAAA", Name: "s1", Text: "value of s1"}
	s2      = entry{ARN: prefix + "s2-BBBBBB", Name: "s2", Text: "value of s2"}
	foreign = entry{ARN: "arn:aws:secretsmanager:" + region + ":999999999999:secret:s1-CCCCCC", Name: "s1", Text: canary}
)

func TestNoAnswerMakesAWrongSecret(t *testing.T) {
	swapped := func(a, b entry) []entry { a.Name, b.Name = b.Name, a.Name; return []entry{a, b} }
	other := func(e entry) entry { e.Text = canary; return e }
	const refused, asked = "refused", "asked for singly"
	for name, c := range map[string]struct {
		answer page
		ids    []string
		want   []string // a value, an error, or where it comes from
	}{
		"as it should be":            {page{Values: []entry{s2, s1}}, []string{"s1", "s2"}, []string{"value of s1", "value of s2"}},
		"without suffixes":           {page{Values: []entry{{ARN: prefix + "s1", Name: "s1", Text: "a"}, {ARN: prefix + "s2", Name: "s2", Text: "b"}}}, []string{"s1", prefix + "s2"}, []string{"a", "b"}},
		"nothing":                    {page{}, []string{"s1", "s2"}, []string{asked, asked}},
		"empty entries":              {page{Values: []entry{{}, {}}, Errors: []failure{{}, {}}}, []string{"s1", "s2"}, []string{asked, asked}},
		"no identity":                {page{Values: []entry{{Text: canary}, {Text: canary}}}, []string{"s1", "s2"}, []string{asked, asked}},
		"no ARN":                     {page{Values: []entry{{Name: "s1", Text: canary}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"no name":                    {page{Values: []entry{{ARN: s1.ARN, Text: canary}, s2}}, []string{s1.ARN, "s2"}, []string{refused, "value of s2"}},
		"one that nobody asked for":  {page{Values: []entry{{ARN: prefix + "s3-DDDDDD", Name: "s3", Text: canary}, s2}}, []string{"s1", "s2"}, []string{asked, "value of s2"}},
		"in place of both":           {page{Values: []entry{{ARN: prefix + "s3-DDDDDD", Name: "s3", Text: canary}, {ARN: prefix + "s4-DDDDDD", Name: "s4", Text: canary}}}, []string{"s1", "s2"}, []string{asked, asked}},
		"in another case":            {page{Values: []entry{{ARN: prefix + "S1-DDDDDD", Name: "S1", Text: canary}, s2}}, []string{"s1", "s2"}, []string{asked, "value of s2"}},
		"a longer name":              {page{Values: []entry{{ARN: prefix + "s1-replica-DDDDDD", Name: "s1-replica", Text: canary}, s2}}, []string{partial(s1.ARN), "s2"}, []string{asked, "value of s2"}},
		"a name that ends alike":     {page{Values: []entry{{ARN: prefix + "team/s1-DDDDDD", Name: "team/s1", Text: canary}, s2}}, []string{"s1", "s2"}, []string{asked, "value of s2"}},
		"an ARN of a longer name":    {page{Values: []entry{{ARN: prefix + "team/s1-DDDDDD", Name: "s1", Text: canary}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"swapped names, by name":     {page{Values: swapped(s1, s2)}, []string{"s1", "s2"}, []string{refused, refused}},
		"swapped names, by ARN":      {page{Values: swapped(s1, s2)}, []string{s1.ARN, s2.ARN}, []string{refused, refused}},
		"swapped names, by both":     {page{Values: swapped(s1, s2)}, []string{partial(s1.ARN), "s2"}, []string{refused, refused}},
		"two values":                 {page{Values: []entry{s1, other(s1), s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"two values, by ARN":         {page{Values: []entry{other(s1), s1, s2}}, []string{s1.ARN, "s2"}, []string{refused, "value of s2"}},
		"a value and none":           {page{Values: []entry{s1, {ARN: s1.ARN, Name: "s1"}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"an empty value and none":    {page{Values: []entry{{ARN: s1.ARN, Name: "s1", Text: ""}, {ARN: s1.ARN, Name: "s1"}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"two binary values":          {page{Values: []entry{{ARN: s1.ARN, Name: "s1", Blob: []byte{1}}, {ARN: s1.ARN, Name: "s1", Blob: []byte{2}}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"one value twice":            {page{Values: []entry{s1, s1, s2}}, []string{"s1", "s2"}, []string{"value of s1", "value of s2"}},
		"a value and an error":       {page{Values: []entry{other(s1), s2}, Errors: []failure{{"s1", "ResourceNotFoundException", canary}}}, []string{"s1", "s2"}, []string{"not found", "value of s2"}},
		"no value":                   {page{Values: []entry{{ARN: s1.ARN, Name: "s1"}, s2}}, []string{"s1", "s2"}, []string{"has no value", "value of s2"}},
		"an error under the ARN":     {page{Values: []entry{s2}, Errors: []failure{{s1.ARN, "ThrottlingException", ""}}}, []string{"s1", "s2"}, []string{asked, "value of s2"}},
		"one name in two accounts":   {page{Values: []entry{s1, foreign}}, []string{"s1", foreign.ARN}, []string{asked, canary}},
		"only the other account's":   {page{Values: []entry{foreign, s2}}, []string{"s1", foreign.ARN, "s2"}, []string{asked, canary, "value of s2"}},
		"only, under a partial ARN":  {page{Values: []entry{foreign, s2}}, []string{"s1", partial(foreign.ARN), "s2"}, []string{asked, canary, "value of s2"}},
		"one entry for two spelling": {page{Values: []entry{s1, s2}}, []string{partial(s1.ARN), s1.ARN, "s2"}, []string{"value of s1", "value of s1", "value of s2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			answers(s, c.answer)
			singles := 0
			for i, r := range d.ask(c.ids...) {
				switch want := c.want[i]; want {
				case refused:
					require.ErrorIs(t, r.Err, fault.Unavailable)
					_, again := fault.Transient(r.Err)
					require.False(t, again)
					require.ErrorContains(t, r.Err, "contradicts itself")
				case asked:
					singles++
					require.ErrorIs(t, r.Err, fault.NotFound) // the fake has no such secret
				case "not found", "has no value":
					require.ErrorContains(t, r.Err, want)
				default:
					require.NoError(t, r.Err)
					require.Equal(t, want, r.Value.Text)
				}
			}
			requireCalls(t, s, 1, singles)
		})
	}
}

func TestAnAnswerThatIsNotJSONIsTheErrorOfEach(t *testing.T) {
	for _, body := range []string{canary, `{"SecretValues":"` + canary + `"}`, `{"SecretValues":[{"SecretString":"\ud800` + canary + `"}]}`, ""} {
		s, d := batched(t)
		s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, body)
			return true
		})
		for _, r := range d.ask("s1", "s2") {
			require.ErrorIs(t, r.Err, fault.Unavailable)
			_, again := fault.Transient(r.Err)
			require.False(t, again)
		}
		requireCalls(t, s, 1, 0)
	}
}

func TestPagesAreFollowed(t *testing.T) {
	s, d := batched(t)
	tokens := answers(s, page{Values: []entry{s1}, Next: "t1"}, page{Next: "t2"}, page{Values: []entry{s2}})
	require.Equal(t, []string{"value of s1", "value of s2"}, d.texts("s1", "s2"))
	require.Equal(t, []string{"", "t1", "t2"}, *tokens)
	for _, r := range s.Requests() {
		require.Equal(t, []string{"s1", "s2"}, r.SecretIDs)
	}
	requireCalls(t, s, 3, 0)

	t.Run("a contradiction between two", func(t *testing.T) {
		answers(s, page{Values: []entry{s1, s2}, Next: "t"}, page{Values: []entry{{ARN: s1.ARN, Name: "s1", Text: canary}}})
		got := d.ask("s1", "s2")
		require.ErrorIs(t, got[0].Err, fault.Unavailable)
		require.Equal(t, "value of s2", got[1].Value.Text)
	})
}

func TestPagesThatGoRoundEnd(t *testing.T) {
	s, d := batched(t)
	answers(s, page{Values: []entry{s1}, Next: canary})
	got := d.ask("s1", "db")
	require.Equal(t, "value of s1", got[0].Value.Text)
	require.Equal(t, "hunter2", got[1].Value.Text)
	requireCalls(t, s, awssm.MaxBatch, 1)
}

func TestAPageThatFailsLeavesWhatCameBefore(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		want   error // nil: fetched singly
	}{
		"throttled": {400, "ThrottlingException", fault.Unavailable}, "the token is bad": {400, "InvalidNextTokenException", nil}, "denied": {400, "AccessDeniedException", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			first := true
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !first {
					return false
				}
				first = false
				s.Fail(1, c.status, c.code, nil)
				_ = json.NewEncoder(w).Encode(page{Values: []entry{s1}, Next: "t"})
				return true
			})
			got := d.ask("s1", "db")
			require.Equal(t, "value of s1", got[0].Value.Text)
			if c.want != nil {
				require.ErrorIs(t, got[1].Err, c.want)
				requireCalls(t, s, 2, 0)
			} else {
				require.Equal(t, "hunter2", got[1].Value.Text)
				requireCalls(t, s, 2, 1)
			}
			require.NotContains(t, d.log.String(), "level=WARN")
			s.PutSecret(region, "other", "value")
			d.texts("db", "other")
			requireCalls(t, s, 1, 0)
		})
	}
}

func TestABatchIsGivenUpWithItsContext(t *testing.T) {
	s, d := batched(t)
	s.Latency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, r := range d.backend.FetchBatch(ctx, []ref.Target{group("a"), group("b")}) {
		require.ErrorIs(t, r.Err, fault.Unavailable)
		require.ErrorContains(t, r.Err, "did not answer in time")
	}
	requireCalls(t, s, 1, 0)
}
