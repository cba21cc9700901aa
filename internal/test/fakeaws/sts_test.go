package fakeaws

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testRole = "arn:aws:iam::123456789012:role/apps/reader"

func TestGetCallerIdentity(t *testing.T) {
	s := start(t)
	out, err := stsClient(t).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:iam::123456789012:user/secretref", *out.Arn)
	assert.Equal(t, Account, *out.Account)
	assert.NotEmpty(t, *out.UserId)
	require.Len(t, s.STSRequests(), 1)
	assert.Equal(t, "GetCallerIdentity", s.STSRequests()[0].Action)
	assert.Equal(t, testKey, s.STSRequests()[0].AccessKeyID)
	assert.Zero(t, s.Calls(), "Calls counts Secrets Manager only")

	s.AddKey("ASIATEMP", "temp secret", "expired")
	s.ExpireCredentials()
	for _, tc := range []struct{ id, secret, token, want string }{
		{"ASIATEMP", "temp secret", "expired", "ExpiredToken"},
		{"AKIAUNKNOWN", testSecret, "", "InvalidClientTokenId"},
		{testKey, "another secret", "", "SignatureDoesNotMatch"},
		{testKey, testSecret, "t", "InvalidClientTokenId"},
	} {
		c := stsClient(t,
			config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(tc.id, tc.secret,
				tc.token)))
		_, err := c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		assertCode(t, err, tc.want)
	}
}

// Developers often use a profile with role_arn and source_profile.
func TestAssumeRole_profile(t *testing.T) {
	s := start(t)
	s.AddRole(testRole, "")
	s.PutSecret(testRegion, "db", "v")
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		"[profile base]\naws_access_key_id=%s\naws_secret_access_key=%s\n[profile app]\nrole_arn=%s\nsource_profile=base\nrole_session_name=backup\n",
		testKey, testSecret, testRole), 0o600))
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_PROFILE", "app")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")

	c := client(t)
	assert.Equal(t, "v", mustGet(t, c, "db"))
	assert.Equal(t, "v", mustGet(t, c, "db"))
	require.Len(t, s.STSRequests(), 1)
	assert.Equal(t, "AssumeRole", s.STSRequests()[0].Action)
	temporary := s.Requests()[0].AccessKeyID
	assert.True(t, strings.HasPrefix(temporary, "ASIA"), temporary)

	who, err := stsClient(t).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:sts::123456789012:assumed-role/reader/backup", *who.Arn)

	s.ExpireCredentials()
	_, err = get(t, c, "db")
	assertCode(t, err, "ExpiredTokenException")
	assert.Equal(t, "v", mustGet(t, client(t), "db"), "a new session works")

	s.Deny("sts:AssumeRole", testRole)
	_, err = get(t, client(t), "db")
	assertCode(t, err, "AccessDenied")
}

func TestAssumeRole_input(t *testing.T) {
	s := start(t)
	s.AddRole(testRole, "")
	c := stsClient(t)
	assume := func(arn, session string, seconds *int32) (*sts.AssumeRoleOutput, error) {
		return c.AssumeRole(t.Context(),
			&sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &session, DurationSeconds: seconds})
	}
	now := time.Now().UTC().Truncate(time.Second)
	s.SetClock(at(now))
	for _, tc := range []struct {
		configured time.Duration
		asked      *int32
		want       time.Duration
	}{
		{0, nil, time.Hour},
		{0, aws.Int32(900), 15 * time.Minute},
		{7 * time.Minute, aws.Int32(900), 7 * time.Minute},
	} {
		s.CredentialLifetime(tc.configured)
		out, err := assume(testRole, "session", tc.asked)
		require.NoError(t, err)
		assert.Equal(t, now.Add(tc.want), *out.Credentials.Expiration)
		assert.Equal(t, "arn:aws:sts::123456789012:assumed-role/reader/session", *out.AssumedRoleUser.Arn)
		assert.Regexp(t, "^AROA[A-Z2-7]{17}:session$", *out.AssumedRoleUser.AssumedRoleId)

		keys := aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId,
			SecretAccessKey: *out.Credentials.SecretAccessKey,
			SessionToken:    *out.Credentials.SessionToken}
		s.PutSecret(testRegion, "db", "v")
		last := now.Add(tc.want - time.Second)
		s.SetClock(at(last))
		assert.Empty(t, code(t, signed(t, s, keys, last)))
		s.SetClock(at(now.Add(tc.want)))
		assert.Equal(t, "ExpiredTokenException", code(t, signed(t, s, keys, now.Add(tc.want))))
		s.SetClock(at(now))
	}

	_, err := assume("arn:aws:iam::123456789012:role/nobody", "session", nil)
	assertCode(t, err, "AccessDenied")
	assert.ErrorContains(t, err,
		"is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/nobody")
	for _, tc := range []struct {
		arn, session string
		seconds      *int32
	}{
		{"short", "session", nil},
		{strings.Repeat("x", 30), "session", nil},
		{testRole, "s", nil},
		{testRole, "two words", nil},
		{testRole, "session", aws.Int32(899)},
		{testRole, "session", aws.Int32(43201)},
	} {
		_, err := assume(tc.arn, tc.session, tc.seconds)
		assertCode(t, err, "ValidationError")
	}
}

func TestWebIdentity(t *testing.T) {
	s := start(t)
	s.AddRole(testRole, "projected token 1")
	s.PutSecret(testRegion, "db", "v")
	file := filepath.Join(t.TempDir(), "token")
	present := func(token string) { require.NoError(t, os.WriteFile(file, []byte(token), 0o600)) }
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_ROLE_ARN", testRole)
	t.Setenv("AWS_ROLE_SESSION_NAME", "pod")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)

	present("projected token 1")
	assert.Equal(t, "v", mustGet(t, client(t), "db"))
	require.Len(t, s.STSRequests(), 1)
	assert.Equal(t, "AssumeRoleWithWebIdentity", s.STSRequests()[0].Action)
	assert.Empty(t, s.STSRequests()[0].AccessKeyID, "the call is not signed")

	var invalid *types.InvalidIdentityTokenException
	present("another token")
	_, err := get(t, client(t), "db")
	require.ErrorAs(t, err, &invalid)

	expired := jwt(`{"sub":"system:serviceaccount:prod:app","iss":"https://issuer.example","exp":1000000000}`)
	s.AddRole(testRole, expired)
	present(expired)
	_, err = get(t, client(t), "db")
	var old *types.ExpiredTokenException
	require.ErrorAs(t, err, &old)

	valid := jwt(fmt.Sprintf(`{"sub":"system:serviceaccount:prod:app","iss":"https://issuer.example","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	s.AddRole(testRole, valid)
	present(valid)
	assert.Equal(t, "v", mustGet(t, client(t), "db"))
	out, err := stsClient(t).AssumeRoleWithWebIdentity(t.Context(),
		&sts.AssumeRoleWithWebIdentityInput{
			RoleArn: aws.String(testRole), RoleSessionName: aws.String("pod"), WebIdentityToken: &valid,
		})
	require.NoError(t, err)
	assert.Equal(t, "system:serviceaccount:prod:app", *out.SubjectFromWebIdentityToken)
	assert.Equal(t, "https://issuer.example", *out.Provider)

	s.AddRole(testRole, "") // without a web identity
	_, err = get(t, client(t), "db")
	assertCode(t, err, "AccessDenied")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/nobody")
	_, err = get(t, client(t), "db")
	assertCode(t, err, "AccessDenied")
}

func jwt(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + "." +
		part([]byte("signature"))
}

func TestSTS_failures(t *testing.T) {
	s := start(t)
	c := stsClient(t)
	s.FailSTS(1, 400, "Throttling", nil)
	s.FailSTS(1, 503, "", nil)
	_, err := c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	assertCode(t, err, "Throttling")
	_, err = c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	var resp *smithyhttp.ResponseError
	require.ErrorAs(t, err, &resp)
	assert.Equal(t, 503, resp.HTTPStatusCode())
	_, err = c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
}

func TestSTS_errors(t *testing.T) {
	s := start(t)
	for name, tc := range map[string]struct {
		form   url.Values
		code   string
		status int
	}{
		"unsigned": {url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}},
			"MissingAuthenticationToken", 403},
		"unknown": {url.Values{"Action": {"GetFederationToken"}, "Version": {"2011-06-15"}},
			"InvalidAction", 400},
		"old version": {url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2010-05-08"}},
			"InvalidAction", 400},
		"no action": {url.Values{}, "MissingAction", 400},
		"no token": {url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
			"RoleArn":         {testRole},
			"RoleSessionName": {"pod"}}, "ValidationError", 400},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.STSURL()+"/",
			strings.NewReader(tc.form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, body := do(t, r)
		assert.Equal(t, tc.status, resp.StatusCode, name)
		var out struct {
			XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
			Error   struct{ Type, Code, Message string }
			ID      string `xml:"RequestId"`
		}
		require.NoError(t, xml.Unmarshal([]byte(body), &out), body)
		assert.Equal(t, tc.code, out.Error.Code, name)
		assert.Equal(t, "Sender", out.Error.Type)
		assert.NotEmpty(t, out.Error.Message)
		assert.Equal(t, resp.Header.Get("x-amzn-RequestId"), out.ID)
	}
}

// Every element of a response is in the namespace of the service.
func TestSTS_namespace(t *testing.T) {
	s := start(t)
	s.AddRole(testRole, "token")
	for name, form := range map[string]url.Values{
		"GetCallerIdentity": {"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}},
		"AssumeRole": {"Action": {"AssumeRole"}, "Version": {"2011-06-15"},
			"RoleArn": {testRole}, "RoleSessionName": {"pod"}},
		"AssumeRoleWithWebIdentity": {"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
			"RoleArn": {testRole}, "RoleSessionName": {"pod"}, "WebIdentityToken": {"token"}},
		"an error": {"Action": {"None"}, "Version": {"2011-06-15"}},
	} {
		_, body := do(t,
			signedCall(t, s.STSURL(), "sts", "application/x-www-form-urlencoded", "", form.Encode()))
		elements := 0
		for d := xml.NewDecoder(strings.NewReader(body)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			if start, ok := token.(xml.StartElement); ok {
				elements++
				assert.Equal(t, stsNamespace, start.Name.Space, "%s: %s", name, start.Name.Local)
			}
		}
		assert.Greater(t, elements, 4, body)
		assert.Equal(t, 1, strings.Count(body, "xmlns"), body)
	}
}
