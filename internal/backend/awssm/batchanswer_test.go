package awssm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// page is one page of a hostile or broken answer.
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

// answers lets the fake answer batches with pages in turn, and repeat the last one. It
// returns the tokens that the requests carry.
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
	foreign = entry{ARN: "arn:aws:secretsmanager:" + region + ":999999999999:secret:s1-CCCCCC",
		Name: "s1", Text: canary}
)

func TestBatchHostileAnswers(t *testing.T) {
	swapped := func(a, b entry) []entry { a.Name, b.Name = b.Name, a.Name; return []entry{a, b} }
	other := func(e entry) entry { e.Text = canary; return e }
	const refused, single = "refused", "fetched singly"
	for name, c := range map[string]struct {
		answer page
		ids    []string
		want   []string // a value, an error, refused or single
	}{
		"correct": {page{Values: []entry{s2, s1}}, []string{"s1", "s2"},
			[]string{"value of s1", "value of s2"}},
		"without suffixes": {page{Values: []entry{{ARN: prefix + "s1", Name: "s1", Text: "a"},
			{ARN: prefix + "s2", Name: "s2", Text: "b"}}}, []string{"s1", prefix + "s2"},
			[]string{"a", "b"}},
		"nothing": {page{}, []string{"s1", "s2"}, []string{single, single}},
		"empty entries": {page{Values: []entry{{}, {}}, Errors: []failure{{}, {}}},
			[]string{"s1", "s2"}, []string{single, single}},
		"no identity": {page{Values: []entry{{Text: canary}, {Text: canary}}},
			[]string{"s1", "s2"}, []string{single, single}},
		"no ARN": {page{Values: []entry{{Name: "s1", Text: canary}, s2}},
			[]string{"s1", "s2"}, []string{refused, "value of s2"}},
		"no name": {page{Values: []entry{{ARN: s1.ARN, Text: canary}, s2}},
			[]string{s1.ARN, "s2"}, []string{refused, "value of s2"}},
		"one that was not requested": {page{Values: []entry{{ARN: prefix + "s3-DDDDDD", Name: "s3",
			Text: canary}, s2}}, []string{"s1", "s2"}, []string{single, "value of s2"}},
		"instead of both": {page{Values: []entry{{ARN: prefix + "s3-DDDDDD", Name: "s3",
			Text: canary}, {ARN: prefix + "s4-DDDDDD", Name: "s4", Text: canary}}}, []string{"s1", "s2"},
			[]string{single, single}},
		"in another case": {page{Values: []entry{{ARN: prefix + "S1-DDDDDD", Name: "S1",
			Text: canary}, s2}}, []string{"s1", "s2"}, []string{single, "value of s2"}},
		"a longer name": {page{Values: []entry{{ARN: prefix + "s1-replica-DDDDDD",
			Name: "s1-replica", Text: canary}, s2}}, []string{partial(s1.ARN), "s2"},
			[]string{single, "value of s2"}},
		"a name that ends alike": {page{Values: []entry{{ARN: prefix + "team/s1-DDDDDD",
			Name: "team/s1", Text: canary}, s2}}, []string{"s1", "s2"}, []string{single, "value of s2"}},
		"an ARN of a longer name": {page{Values: []entry{{ARN: prefix + "team/s1-DDDDDD", Name: "s1",
			Text: canary}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"swapped names, by name": {page{Values: swapped(s1, s2)}, []string{"s1", "s2"},
			[]string{refused, refused}},
		"swapped names, by ARN": {page{Values: swapped(s1, s2)}, []string{s1.ARN, s2.ARN},
			[]string{refused, refused}},
		"swapped names, by both": {page{Values: swapped(s1, s2)}, []string{partial(s1.ARN), "s2"},
			[]string{refused, refused}},
		"two values": {page{Values: []entry{s1, other(s1), s2}}, []string{"s1", "s2"},
			[]string{refused, "value of s2"}},
		"two values, by ARN": {page{Values: []entry{other(s1), s1, s2}}, []string{s1.ARN, "s2"},
			[]string{refused, "value of s2"}},
		"a value and none": {page{Values: []entry{s1, {ARN: s1.ARN, Name: "s1"}, s2}},
			[]string{"s1", "s2"}, []string{refused, "value of s2"}},
		"an empty value and none": {page{Values: []entry{{ARN: s1.ARN, Name: "s1", Text: ""},
			{ARN: s1.ARN, Name: "s1"}, s2}}, []string{"s1", "s2"}, []string{refused, "value of s2"}},
		"two binary values": {page{Values: []entry{{ARN: s1.ARN, Name: "s1", Blob: []byte{1}},
			{ARN: s1.ARN, Name: "s1", Blob: []byte{2}}, s2}}, []string{"s1", "s2"},
			[]string{refused, "value of s2"}},
		"one value twice": {page{Values: []entry{s1, s1, s2}}, []string{"s1", "s2"},
			[]string{"value of s1", "value of s2"}},
		"a value and an error": {page{Values: []entry{other(s1), s2},
			Errors: []failure{{"s1", "ResourceNotFoundException", canary}}}, []string{"s1", "s2"},
			[]string{"not found", "value of s2"}},
		"no value": {page{Values: []entry{{ARN: s1.ARN, Name: "s1"}, s2}},
			[]string{"s1", "s2"}, []string{"has no value", "value of s2"}},
		"an error under the ARN": {page{Values: []entry{s2},
			Errors: []failure{{s1.ARN, "ThrottlingException", ""}}}, []string{"s1", "s2"},
			[]string{single, "value of s2"}},
		"one name in two accounts": {page{Values: []entry{s1, foreign}}, []string{"s1", foreign.ARN},
			[]string{single, canary}},
		"only the other account's": {page{Values: []entry{foreign, s2}},
			[]string{"s1", foreign.ARN, "s2"}, []string{single, canary, "value of s2"}},
		"only, under a partial ARN": {page{Values: []entry{foreign, s2}},
			[]string{"s1", partial(foreign.ARN), "s2"}, []string{single, canary, "value of s2"}},
		"one entry for two spelling": {page{Values: []entry{s1, s2}},
			[]string{partial(s1.ARN), s1.ARN, "s2"}, []string{"value of s1", "value of s1", "value of s2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			answers(s, c.answer)
			singles := 0
			for i, r := range d.fetch(c.ids...) {
				switch want := c.want[i]; want {
				case refused:
					require.ErrorIs(t, r.Err, fault.Unavailable)
					_, again := fault.Transient(r.Err)
					require.False(t, again)
					require.ErrorContains(t, r.Err, "contradicts itself")
				case single:
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

func TestBatchNotJSON(t *testing.T) {
	for _, body := range []string{canary, `{"SecretValues":"` + canary + `"}`,
		`{"SecretValues":[{"SecretString":"\ud800` + canary + `"}]}`, ""} {
		s, d := batched(t)
		s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, body)
			return true
		})
		for _, r := range d.fetch("s1", "s2") {
			require.ErrorIs(t, r.Err, fault.Unavailable)
			_, again := fault.Transient(r.Err)
			require.False(t, again)
		}
		requireCalls(t, s, 1, 0)
	}
}

func TestBatchPages(t *testing.T) {
	s, d := batched(t)
	tokens := answers(s, page{Values: []entry{s1}, Next: "t1"}, page{Next: "t2"},
		page{Values: []entry{s2}})
	require.Equal(t, []string{"value of s1", "value of s2"}, d.texts("s1", "s2"))
	require.Equal(t, []string{"", "t1", "t2"}, *tokens)
	for _, r := range s.Requests() {
		require.Equal(t, []string{"s1", "s2"}, r.SecretIDs)
	}
	requireCalls(t, s, 3, 0)

	t.Run("a contradiction between two", func(t *testing.T) {
		answers(s, page{Values: []entry{s1, s2}, Next: "t"},
			page{Values: []entry{{ARN: s1.ARN, Name: "s1", Text: canary}}})
		got := d.fetch("s1", "s2")
		require.ErrorIs(t, got[0].Err, fault.Unavailable)
		require.Equal(t, "value of s2", got[1].Value.Text)
	})
}

func TestBatchPagesCycle(t *testing.T) {
	s, d := batched(t)
	answers(s, page{Values: []entry{s1}, Next: canary})
	got := d.fetch("s1", "db")
	require.Equal(t, "value of s1", got[0].Value.Text)
	require.Equal(t, "hunter2", got[1].Value.Text)
	requireCalls(t, s, awssm.MaxBatch, 1)
}

func TestBatchPageFails(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
	}{
		"the token is bad": {400, "InvalidNextTokenException"}, "denied": {400, "AccessDeniedException"},
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
			got := d.fetch("s1", "db")
			require.Equal(t, "value of s1", got[0].Value.Text)
			require.Equal(t, "hunter2", got[1].Value.Text)
			requireCalls(t, s, 2, 1)
			require.NotContains(t, d.log.String(), "level=WARN")
			s.PutSecret(region, "other", "value")
			d.texts("db", "other")
			requireCalls(t, s, 1, 0)
		})
	}
}
