package secretref_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/backendtest"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// awsBackend is AWS Secrets Manager in the conformance suite.
func awsBackend() backendtest.Backend {
	return backendtest.Backend{
		Start: func(t testing.TB) *backendtest.Server {
			s := awsFake(t)
			// The SDK must not retry.
			t.Setenv("AWS_MAX_ATTEMPTS", "7")
			t.Setenv("AWS_RETRY_MODE", "adaptive")
			made := awsServer(s, nil)
			made.Latency = s.Latency
			return made
		},
		StartInProcess: func(t testing.TB) *backendtest.Server {
			s := awsFake(t)
			var latency time.Duration
			given := awsCallerConfig(s)
			given.HTTPClient = sender(func(r *http.Request) (*http.Response, error) {
				time.Sleep(latency)
				return s.RoundTrip(r)
			})
			made := awsServer(s, func(o *secretref.Options) { o.AWS.Config = given })
			made.Latency = func(d time.Duration) { latency = d }
			return made
		},
		Transient: map[string]func(*backendtest.Server){
			"throttled":        awsFails(400, "ThrottlingException"),
			"429":              awsFails(429, ""),
			"internal error":   awsFails(500, "InternalServiceError"),
			"503 without code": awsFails(503, ""),
			"unknown 502":      awsFails(502, "Strange"),
		},
		Refusals: awsRefusals(),
		Odd:      awsOddAnswers(),
		DeadConnections: map[string]func(testing.TB) backendtest.Listener{
			"HTTP/1.1": func(t testing.TB) backendtest.Listener {
				s := awsFake(t)
				s.PutSecret("eu-west-1", "db", "good")
				made := awsServer(s, nil)
				return backendtest.Listener{Address: s.URL(), Open: made.Open,
					Reference: func(address string) string { return made.At("http://"+address, "db") }}
			},
		},
		RequireSilent: requireSilent,
		Canary:        canary,
	}
}

func awsServer(s *fakeaws.Server, change func(*secretref.Options)) *backendtest.Server {
	at := func(endpoint, name string) string {
		return secretref.AWSReference{Region: "eu-west-1", SecretID: name,
			EndpointOverride: endpoint}.String()
	}
	return &backendtest.Server{
		URL:       s.URL(),
		Put:       func(name, value string) { s.PutSecret("eu-west-1", name, value) },
		Reference: func(name string) string { return at("", name) },
		At:        at,
		Intercept: s.Intercept, Calls: s.Calls, ResetCalls: s.ResetCalls, Close: s.Close,
		Open: openFor(change), Fake: s,
	}
}

func awsFails(status int, code string) func(*backendtest.Server) {
	return func(s *backendtest.Server) { s.Fake.(*fakeaws.Server).Fail(1, status, code, nil) }
}

func awsRefusals() map[string]backendtest.Refusal {
	said := func(status int, code, message string) func(*fakeaws.Server) {
		return func(s *fakeaws.Server) {
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"__type":%q,"message":%q}`, code, message+" "+canary)
				return true
			})
		}
	}
	code := func(code string) func(*fakeaws.Server) { return said(400, code, "") }
	const home, abroad = "arn:aws:secretsmanager:eu-west-1:" + fakeaws.Account + ":secret:db",
		"arn:aws:secretsmanager:us-east-1:" + fakeaws.Account + ":secret:db-AbCdEf"
	refusals := map[string]backendtest.Refusal{}
	for name, c := range map[string]struct {
		prepare func(*fakeaws.Server)
		secret  string
		want    error
		text    []string
	}{
		"missing": {nil, "none", secretref.ErrNotFound,
			[]string{`no secret "none" in region "eu-west-1"`}},
		"ARN of another region": {nil, abroad, secretref.ErrNotFound,
			[]string{`"us-east-1"`, `the reference says "eu-west-1"`}},
		"deleted": {func(s *fakeaws.Server) { s.DeleteSecret("eu-west-1", "db") },
			"db", secretref.ErrNotFound, []string{"marked for deletion", "restore-secret"}},
		"other state": {code("InvalidRequestException"), "db", secretref.ErrUnsupported,
			[]string{"present state"}},
		"without a value": {nil, "empty", secretref.ErrNotFound,
			[]string{"has no value", "AWSCURRENT"}},
		"invalid name": {nil, "a b", secretref.ErrSyntax, []string{`"a b"`, "secretId"}},
		"denied": {func(s *fakeaws.Server) {
			s.Deny("secretsmanager:GetSecretValue",
				"db")
		}, "db", secretref.ErrDenied,
			[]string{"secretsmanager:GetSecretValue", `"db"`, `-??????`,
				"arn:aws:secretsmanager:eu-west-1:*:secret:db-??????"}},
		"denied by ARN": {func(s *fakeaws.Server) {
			s.Deny("secretsmanager:GetSecretValue",
				"*")
		}, home, secretref.ErrDenied, []string{home + "-??????"}},
		"denied whole ARN": {func(s *fakeaws.Server) {
			s.Deny("secretsmanager:GetSecretValue",
				"*")
		}, home + "-AbCdEf", secretref.ErrDenied, []string{home + `-AbCdEf"`}},
		"denied in another region": {func(s *fakeaws.Server) {
			s.Deny("secretsmanager:GetSecretValue",
				"*")
		}, abroad, secretref.ErrDenied, []string{`of region "us-east-1"`}},
		"denied, secret named kms": {func(s *fakeaws.Server) {
			s.Deny("secretsmanager:GetSecretValue",
				"kms")
		}, "kms", secretref.ErrDenied, []string{"secretsmanager:GetSecretValue"}},
		"denied explicitly": {said(400, "AccessDeniedException",
			"is not authorized with an explicit deny in a resource-based policy"), "db", secretref.ErrDenied,
			[]string{"explicitly"}},
		"key denied": {func(s *fakeaws.Server) { s.Deny("kms:Decrypt", "db") }, "db",
			secretref.ErrDenied, []string{"kms:Decrypt", `"db"`}},
		"key denied, other text": {said(400, "AccessDeniedException",
			"User: x is not authorized to perform: kms:Decrypt on resource"), "db", secretref.ErrDenied,
			[]string{"kms:Decrypt"}},
		"key disabled": {code("DecryptionFailure"), "db", secretref.ErrDenied,
			[]string{"kms:Decrypt", "enabled"}},
		"wrong access key": {func(s *fakeaws.Server) {
			s.AddKey(awsKeyID,
				"another secret access key", awsToken)
		}, "db", secretref.ErrUnauthenticated, []string{"secret access key", "clock"}},
		"wrong clock": {code("RequestInTheFuture"), "db", secretref.ErrUnauthenticated,
			[]string{"clock"}},
		"token expired": {(*fakeaws.Server).ExpireCredentials, "db",
			secretref.ErrUnauthenticated, []string{"expired", "renew"}},
		"unknown access key": {func(s *fakeaws.Server) { s.RemoveKey(awsKeyID) }, "db",
			secretref.ErrUnauthenticated, []string{"AWS_ACCESS_KEY_ID", `"eu-west-1" is enabled`}},
		"undocumented code": {said(400, "SomethingException", ""), "db",
			secretref.ErrUnsupported, []string{"SomethingException"}},
		"undocumented text": {said(400, "is it "+canary+"?", ""), "db", secretref.ErrUnsupported,
			[]string{"400"}},
		"403 with a code": {said(403, "SomethingException", ""), "db", secretref.ErrDenied,
			[]string{"secretsmanager:GetSecretValue"}},
		"401 without": {said(401, "", ""), "db", secretref.ErrUnavailable,
			[]string{"401", "proxy"}},
		"403 without": {said(403, "", ""), "db", secretref.ErrUnavailable,
			[]string{"403", "proxy"}},
		"404 without": {func(s *fakeaws.Server) { s.Fail(1, 404, "", nil) }, "db",
			secretref.ErrUnavailable, []string{"is it AWS Secrets Manager?"}},
	} {
		calls := 1
		if name == "wrong clock" {
			calls = 2 // the second one has the time of the response
		}
		refusals[name] = backendtest.Refusal{Kind: c.want, Text: c.text, Calls: calls,
			Prepare: func(_ *testing.T, made *backendtest.Server) string {
				s := made.Fake.(*fakeaws.Server)
				for _, name := range []string{"db", "kms"} {
					s.PutSecret("eu-west-1", name, canary)
				}
				s.CreateEmpty("eu-west-1", "empty")
				if c.prepare != nil {
					c.prepare(s)
				}
				return made.Reference(c.secret)
			}}
	}
	return refusals
}

// awsOddAnswers are responses of proxies, gateways and login pages between the client
// and AWS.
func awsOddAnswers() map[string]backendtest.Answer {
	const html, js = "text/html", "application/json"
	gateway := func(code string) map[string]string {
		return map[string]string{"X-Amzn-Requestid": "5b2a", "X-Amzn-Errortype": code}
	}
	to := func(location string) map[string]string { return map[string]string{"Location": location} }
	answers := map[string]backendtest.Answer{}
	for name, a := range map[string]awsAnswer{
		"403 page of a proxy": {403, html, nil, "<html>blocked</html>"},
		"401 page": {401, html,
			map[string]string{"Www-Authenticate": "Basic"}, "<html>log in</html>"},
		"404 page": {404, html, nil, "<html>not found</html>"},
		"407 of a proxy": {407, html,
			map[string]string{"Proxy-Authenticate": "Basic"}, ""},
		"405":                {405, html, nil, ""},
		"400 page":           {400, html, nil, "<html>bad request</html>"},
		"410":                {410, html, nil, ""},
		"403 without a body": {403, "", nil, ""},
		"404 without a body": {404, "", nil, ""},
		"403 of a gateway":   {403, js, nil, `{"message":"Forbidden"}`},
		"404 of a gateway": {404, js, nil,
			`{"message":"no Route matched with those values"}`},
		"403 of Amazon API Gateway": {403, js, gateway("ForbiddenException"),
			`{"message":"Forbidden"}`},
		"no such path of Amazon API Gateway": {403, js, gateway("MissingAuthenticationTokenException"),
			`{"message":"Missing Authentication Token"}`},
		"a policy of Amazon API Gateway": {403, js, gateway("AccessDeniedException"),
			`{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke"}`},
		"a gateway with a code of AWS": {403, js, nil,
			`{"code":"AccessDeniedException","message":"no"}`},
		"a gateway with another code of AWS": {404, js, nil,
			`{"Code":"ResourceNotFoundException","message":"no"}`},
		"only a header of AWS": {404, "",
			map[string]string{"X-Amzn-Errortype": "ResourceNotFoundException"}, ""},
		"an unknown type": {403, js, nil,
			`{"__type":"https://example.com/problems/forbidden"}`},
		"a list":         {403, js, nil, `[{"__type":"AccessDeniedException"}]`},
		"half an answer": {403, js, nil, `{"__type":"AccessDeniedException"`},
		"XML of another service": {403, "text/xml", nil,
			`<Error><Code>AccessDenied</Code></Error>`},
		"302 to a login page":                  {302, html, to("https://login.example.com/"), ""},
		"301 to clear text":                    {301, html, to("http://sorry.example.com/"), ""},
		"307 to another host":                  {307, "", to("http://10.255.255.1:8200/"), ""},
		"308 to a mail address":                {308, "", to("mailto:admin@example.com"), ""},
		"303 to a page":                        {303, html, to("https://sorry.example.com/"), ""},
		"302 to nowhere":                       {302, html, nil, ""},
		"300":                                  {300, html, nil, ""},
		"200 page":                             {200, html, nil, "<html>welcome</html>"},
		"200 of a gateway":                     {200, js, nil, `{"status":"ok"}`},
		"200 with AWS' error":                  {200, js, nil, `{"__type":"ResourceNotFoundException"}`},
		"200 with an empty object":             {200, js, nil, `{}`},
		"201 with a secret that is not stored": {201, js, nil, `{"SecretString":"wrong"}`},
		"203 from a cache":                     {203, js, nil, `{"SecretString":"wrong"}`},
		"204":                                  {204, "", nil, ""},
		"206 with half a secret":               {206, js, nil, `{"SecretString":"wro`},
	} {
		answers[name] = a.answer()
	}
	return answers
}
