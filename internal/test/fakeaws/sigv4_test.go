package fakeaws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signed returns a GetSecretValue request for "db", signed by the SDK.
func signed(t *testing.T, s *Server, keys aws.Credentials, when time.Time,
	prepare ...func(*http.Request)) *http.Request {
	t.Helper()
	body := `{"SecretId":"db"}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/",
		strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	for _, f := range prepare {
		f(r)
	}
	digest := sha256.Sum256([]byte(body))
	require.NoError(t,
		v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(digest[:]), "secretsmanager",
			testRegion, when))
	return r
}

var longTerm = aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}

// code returns the error code of a response, or "" after a success.
func code(t *testing.T, r *http.Request) string {
	t.Helper()
	resp, body := do(t, r)
	assert.NotEmpty(t, resp.Header.Get("x-amzn-RequestId"))
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	assert.Equal(t, "application/x-amz-json-1.1", resp.Header.Get("Content-Type"))
	var e struct {
		Type string `json:"__type"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &e), body)
	return e.Type
}

// The test uses the example of the IAM user guide ("Create a signed AWS API request").
func TestSignature_documentation(t *testing.T) {
	u, err := url.Parse("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
	require.NoError(t, err)
	r := &http.Request{Method: http.MethodGet, URL: u, Host: "iam.amazonaws.com", Header: http.Header{
		"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"},
		"X-Amz-Date":   {"20150830T123600Z"},
		"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, " +
			"SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	}}
	auth, date, fault := parseAuthorization(r)
	require.Nil(t, fault)
	assert.Equal(t, "AKIDEXAMPLE", auth.accessKeyID)
	got, ok := sign(r, nil, auth, date, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	require.True(t, ok)
	assert.Equal(t, auth.signature, got)
}

func TestSignature_SDK(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	for name, prepare := range map[string]func(*http.Request){
		"plain":            func(*http.Request) {},
		"query":            func(r *http.Request) { r.URL.RawQuery = "b=2&a=%20x%2F~&a=1&empty=&A=%E2%82%AC" },
		"spaces in header": func(r *http.Request) { r.Header.Set("X-Amz-Note", "  a   b  ") },
		"similar names":    func(r *http.Request) { r.URL.RawQuery = "a=1&a-b=2&a=0" },
		"repeated header":  func(r *http.Request) { r.Header["X-Amz-Note"] = []string{"b", "a"} },
		"payload digest": func(r *http.Request) {
			digest := sha256.Sum256([]byte(`{"SecretId":"db"}`))
			r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(digest[:]))
		},
	} {
		assert.Empty(t, code(t, signed(t, s, longTerm, time.Now(), prepare)), name)
	}
}

func TestSignature_tampered(t *testing.T) {
	s := start(t)
	s.AddKey("AKIAANOTHERKEYEXAMPLE", "another secret", "")
	s.PutSecret(testRegion, "db", "v")
	s.PutSecret(testRegion, "xx", "v")
	now := time.Now().UTC()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	inAuth := func(old, replacement string) func(*http.Request) {
		return func(r *http.Request) {
			was := r.Header.Get("Authorization")
			is := strings.Replace(was, old, replacement, 1)
			require.NotEqual(t, was, is, "nothing was tampered with")
			r.Header.Set("Authorization", is)
		}
	}
	const (
		signature  = "InvalidSignatureException"
		incomplete = "IncompleteSignatureException"
		noToken    = "MissingAuthenticationTokenException"
		unknown    = "UnrecognizedClientException"
	)
	yesterday := now.AddDate(0, 0, -1).Format("20060102")
	for _, tc := range []struct {
		name   string
		tamper func(*http.Request)
		want   string
	}{
		{"body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"SecretId":"xx"}`)) },
			signature},
		{"body longer", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"SecretId":"db"} `)), 18
		}, signature},
		{"body chunked", func(r *http.Request) { r.ContentLength = -1 }, signature},
		{"query", func(r *http.Request) { r.URL.RawQuery = "a=1" }, signature},
		{"query not parsable", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, signature},
		{"host", func(r *http.Request) { r.Host = "secretsmanager.eu-west-1.amazonaws.com" }, signature},
		{"content type", header("Content-Type", "application/x-amz-json-1.1; charset=utf-8"), signature},
		{"target", header("X-Amz-Target", "secretsmanager.BatchGetSecretValue"), signature},
		{"target twice",
			func(r *http.Request) { r.Header.Add("X-Amz-Target", "secretsmanager.GetSecretValue") },
			signature},
		{"date", header("X-Amz-Date", now.Add(-time.Second).Format(isoBasic)), signature},
		{"date of another day", header("X-Amz-Date", now.AddDate(0, 0, -1).Format(isoBasic)), signature},
		{"date in another form", header("X-Amz-Date", now.Format(time.RFC3339)), incomplete},
		{"date removed", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, incomplete},
		{"unsigned header of AWS added", header("X-Amz-Note", "n"), signature},
		{"session token added", header("X-Amz-Security-Token", "t"), signature},
		{"payload digest added", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), signature},
		{"signature cut", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1])
		}, signature},
		{"signature empty", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:strings.Index(a, "Signature=")+len("Signature=")])
		}, incomplete},
		{"key unknown", inAuth(testKey, "AKIAUNKNOWN"), unknown},
		{"key of somebody else", inAuth(testKey, "AKIAANOTHERKEYEXAMPLE"), signature},
		{"key empty", inAuth("Credential="+testKey, "Credential="), unknown},
		{"credential missing", inAuth("Credential=", "Credentials="), incomplete},
		{"region of the scope", inAuth(testRegion, "us-east-1"), signature},
		{"no region in the scope", inAuth("/"+testRegion+"/", "//"), signature},
		{"date of the scope", inAuth("/"+now.Format("20060102")+"/", "/"+yesterday+"/"), signature},
		{"service of the scope", inAuth("/secretsmanager/", "/sts/"), signature},
		{"terminator of the scope", inAuth("aws4_request", "aws5_request"), signature},
		{"scope too short", inAuth("/aws4_request", ""), incomplete},
		{"algorithm", inAuth("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), incomplete},
		{"list of headers missing", inAuth("SignedHeaders=", "Signed="), incomplete},
		{"host not signed", inAuth("host;", ""), signature},
		{"target not signed", inAuth(";x-amz-target", ""), signature},
		{"content type not signed", inAuth("content-type;", ""), signature},
		{"headers unsorted", inAuth("x-amz-date;x-amz-target", "x-amz-target;x-amz-date"), signature},
		{"header listed twice", inAuth("host;", "host;host;"), signature},
		{"absent header listed", inAuth("x-amz-date;", "x-amz-absent;x-amz-date;"), signature},
		{"authorization removed", func(r *http.Request) { r.Header.Del("Authorization") }, noToken},
		{"basic authorization", header("Authorization", "Basic dTpw"), noToken},
		{"signature in query and header",
			func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }, signature},
		{"signature in query", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256"
		}, incomplete},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := signed(t, s, longTerm, now)
			tc.tamper(r)
			assert.Equal(t, tc.want, code(t, r))
		})
	}
}

func TestSignature_payloadDigest(t *testing.T) {
	s := start(t)
	for _, claim := range []string{"UNSIGNED-PAYLOAD", strings.Repeat("0", 64)} {
		r := signed(t, s, longTerm, time.Now(),
			func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", claim) })
		assert.Equal(t, "InvalidSignatureException", code(t, r), claim)
	}
}

// The signatures are valid, but do not cover all required parts of the request.
func TestSignature_scope(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	now := time.Now().UTC()
	digest := sha256.Sum256([]byte(`{"SecretId":"db"}`))
	payload := hex.EncodeToString(digest[:])
	for _, tc := range []struct{ service, region, message string }{
		{"sts", testRegion, "correct service"},
		{"secretsmanager", "nowhere", "valid region"},
		{"secretsmanager", "eu-west-", "valid region"},
		{"secretsmanager", "eu-west-1a", "valid region"},
	} {
		r := signed(t, s, longTerm, now)
		require.NoError(t,
			v4.NewSigner().SignHTTP(t.Context(), longTerm, r, payload, tc.service, tc.region, now))
		resp, body := do(t, r)
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		assert.Contains(t, body, tc.message)
	}

	names := "x-amz-target;x-amz-date;host;content-type" // must be sorted
	r := signed(t, s, longTerm, now)
	canonical := "POST\n/\n\nx-amz-target:" + r.Header.Get("X-Amz-Target") + "\nx-amz-date:" +
		r.Header.Get("X-Amz-Date") +
		"\nhost:" + r.URL.Host + "\ncontent-type:" + r.Header.Get("Content-Type") + "\n\n" + names +
		"\n" + payload
	digest = sha256.Sum256([]byte(canonical))
	scope := now.Format("20060102") + "/" + testRegion + "/secretsmanager/aws4_request"
	key := []byte("AWS4" + testSecret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key,
		"AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex.EncodeToString(digest[:]))
	r.Header.Set("Authorization",
		"AWS4-HMAC-SHA256 Credential="+testKey+"/"+scope+", SignedHeaders="+names+", Signature="+
			hex.EncodeToString(signature))
	assert.Equal(t, "InvalidSignatureException", code(t, r))
}

func TestSignature_everyDigit(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	now := time.Now()
	for i := range 64 {
		r := signed(t, s, longTerm, now)
		a := []byte(r.Header.Get("Authorization"))
		c := &a[len(a)-1-i]
		if *c == '0' {
			*c = '1'
		} else {
			*c = '0'
		}
		r.Header.Set("Authorization", string(a))
		require.Equal(t, "InvalidSignatureException", code(t, r), i)
	}
}

func TestSignature_age(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	now := time.Date(2026, 3, 4, 0, 2, 0, 0, time.UTC) // five minutes before and after are on different days
	s.SetClock(at(now))
	for _, tc := range []struct {
		off     time.Duration
		message string
	}{
		{0, ""},
		{-5 * time.Minute, ""},
		{5 * time.Minute, ""},
		{-5*time.Minute - time.Second,
			"Signature expired: 20260303T235659Z is now earlier than 20260303T235700Z (20260304T000200Z - 5 min.)"},
		{5*time.Minute + time.Second,
			"Signature not yet current: 20260304T000701Z is still later than 20260304T000700Z (20260304T000200Z + 5 min.)"},
	} {
		resp, body := do(t, signed(t, s, longTerm, now.Add(tc.off)))
		assert.Equal(t, now.Format(http.TimeFormat), resp.Header.Get("Date"),
			"clients correct their clocks by it")
		if tc.message == "" {
			assert.Equal(t, http.StatusOK, resp.StatusCode, body)
			continue
		}
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		assert.JSONEq(t, `{"__type":"InvalidSignatureException","message":"`+tc.message+`"}`, body)
	}
	s.SetClock(nil)
	assert.Empty(t, code(t, signed(t, s, longTerm, time.Now())))
}

func TestSignature_wrongKeys(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	s.AddKey("ASIATEMP", "temp secret", "the token")
	with := func(id, secret, token string) func(*config.LoadOptions) error {
		return config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, token))
	}
	for _, tc := range []struct{ name, id, secret, token, want string }{
		{"unknown key", "AKIAUNKNOWN", testSecret, "", "UnrecognizedClientException"},
		{"wrong secret", testKey, "another secret", "", "InvalidSignatureException"},
		{"token with a long-term key", testKey, testSecret, "t", "UnrecognizedClientException"},
		{"temporary key without token", "ASIATEMP", "temp secret", "", "UnrecognizedClientException"},
		{"temporary key with another token", "ASIATEMP", "temp secret", "another",
			"UnrecognizedClientException"},
	} {
		_, err := get(t, client(t, with(tc.id, tc.secret, tc.token)), "db")
		assertCode(t, err, tc.want)
	}
	temporary := client(t, with("ASIATEMP", "temp secret", "the token"))
	assert.Equal(t, "v", mustGet(t, temporary, "db"))
	s.ExpireCredentials()
	_, err := get(t, temporary, "db")
	assertCode(t, err, "ExpiredTokenException")

	s.RemoveKey(testKey)
	_, err = get(t, client(t), "db")
	assertCode(t, err, "UnrecognizedClientException")
}
