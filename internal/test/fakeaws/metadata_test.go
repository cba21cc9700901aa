package fakeaws

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutKeys removes the test key from the environment, so that the SDK uses the metadata
// services.
func withoutKeys(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
}

func TestInstance_role(t *testing.T) {
	s := start(t)
	withoutKeys(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	s.PutSecret(testRegion, "db", "v")
	s.AddInstanceRole("ec2-reader")

	assert.Equal(t, "v", mustGet(t, client(t), "db"))
	var asked []string
	for _, r := range s.MetadataRequests() {
		asked = append(asked, r.Action)
	}
	assert.Equal(t, []string{
		"PUT /latest/api/token",
		"GET /latest/meta-data/iam/security-credentials/",
		"GET /latest/meta-data/iam/security-credentials/ec2-reader",
	}, asked)
	assert.Zero(t, s.V1Attempts())

	who, err := stsClient(t).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:sts::123456789012:assumed-role/ec2-reader/i-0123456789abcdef0", *who.Arn)

	c := client(t)
	assert.Equal(t, "v", mustGet(t, c, "db"))
	s.ExpireCredentials()
	_, err = get(t, c, "db")
	assertCode(t, err, "ExpiredTokenException")
	assert.Equal(t, "v", mustGet(t, client(t), "db"))
}

func TestInstance_withoutRole(t *testing.T) {
	s := start(t)
	withoutKeys(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	_, err := get(t, client(t), "db")
	require.ErrorContains(t, err, "no EC2 IMDS role found")
	assert.Zero(t, s.Calls())
}

// metadata sends a request to the instance metadata service. header is a list of names and values.
func metadata(t *testing.T, s *Server, method, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.IMDSURL()+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, body := do(t, r)
	return resp.StatusCode, body
}

func TestMetadata_sessions(t *testing.T) {
	s := start(t)
	s.AddInstanceRole("one")
	s.AddInstanceRole("two")
	const list = "/latest/meta-data/iam/security-credentials/"
	now := time.Now()
	s.SetClock(at(now))

	for _, ttl := range []string{"", "0", "-1", "21601", "soon"} {
		status, _ := metadata(t, s, "PUT", "/latest/api/token",
			"X-aws-ec2-metadata-token-ttl-seconds", ttl)
		assert.Equal(t, http.StatusBadRequest, status, ttl)
	}
	status, _ := metadata(t, s, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds",
		"60", "X-Forwarded-For", "10.0.0.1")
	assert.Equal(t, http.StatusForbidden, status)
	status, _ = metadata(t, s, "GET", "/latest/api/token")
	assert.Equal(t, http.StatusMethodNotAllowed, status)
	assert.Zero(t, s.V1Attempts())

	status, token := metadata(t, s, "PUT", "/latest/api/token",
		"X-aws-ec2-metadata-token-ttl-seconds", "60")
	require.Equal(t, http.StatusOK, status)
	ask := func(path, token string) (int, string) {
		return metadata(t, s, "GET", path, "X-aws-ec2-metadata-token", token)
	}
	status, body := ask(list, token)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "one\ntwo", body)
	status, body = ask(list+"two", token)
	assert.Equal(t, http.StatusOK, status)
	var got struct{ Code, Type, LastUpdated, AccessKeyId, SecretAccessKey, Token, Expiration string }
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	assert.Equal(t, "Success", got.Code)
	assert.Equal(t, "AWS-HMAC", got.Type)
	assert.True(t, strings.HasPrefix(got.AccessKeyId, "ASIA"))
	assert.NotEmpty(t, got.SecretAccessKey)
	assert.NotEmpty(t, got.Token)
	assert.Equal(t, now.Add(time.Hour).UTC().Format(time.RFC3339), got.Expiration)
	_, again := ask(list+"two", token)
	assert.Equal(t, body, again, "the same credentials until they grow old")

	for path, want := range map[string]int{list + "three": 404, "/latest/meta-data/ami-id": 404,
		"/": 404} {
		status, _ := ask(path, token)
		assert.Equal(t, want, status, path)
	}
	status, _ = ask(list, "wrong")
	assert.Equal(t, http.StatusUnauthorized, status)
	status, _ = metadata(t, s, "POST", list, "X-aws-ec2-metadata-token", token)
	assert.Equal(t, http.StatusMethodNotAllowed, status)
	assert.Zero(t, s.V1Attempts())

	status, body = metadata(t, s, "GET", list)
	assert.Equal(t, http.StatusUnauthorized, status, "version 1 is off")
	assert.Empty(t, body)
	assert.Equal(t, 1, s.V1Attempts())
	s.ResetCalls()
	assert.Zero(t, s.V1Attempts())
	assert.Empty(t, s.MetadataRequests())

	s.SetClock(at(now.Add(time.Minute)))
	status, _ = ask(list, token)
	assert.Equal(t, http.StatusUnauthorized, status, "the session has ended")
}

func TestMetadata_credentialRefresh(t *testing.T) {
	s := start(t)
	now := time.Now()
	s.SetClock(at(now))
	s.CredentialLifetime(20 * time.Minute)
	first := s.deliver("r", "i")
	s.SetClock(at(now.Add(14 * time.Minute)))
	assert.Equal(t, first, s.deliver("r", "i"))
	s.SetClock(at(now.Add(16 * time.Minute)))
	second := s.deliver("r", "i")
	assert.NotEqual(t, first.id, second.id)
	assert.Equal(t, now.Add(36*time.Minute).UTC().Truncate(time.Second), second.expires)
}

func TestContainer_credentials(t *testing.T) {
	s := start(t)
	withoutKeys(t)
	s.PutSecret(testRegion, "db", "v")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL())

	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", s.ECSToken())
	assert.Equal(t, "v", mustGet(t, client(t), "db"))
	who, err := stsClient(t).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	assert.Contains(t, *who.Arn, ":assumed-role/secretref-task/")

	for _, wrong := range []string{"", "wrong"} {
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", wrong)
		_, err := get(t, client(t), "db")
		require.ErrorContains(t, err, "the authorization token is missing or wrong")
	}

	// As on EKS: a projected file, rotated from time to time.
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("rotated"), 0o600))
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
	s.SetECSToken("rotated")
	assert.Equal(t, "rotated", s.ECSToken())
	assert.Equal(t, "v", mustGet(t, client(t), "db"))

	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL()+"x")
	_, err = get(t, client(t, config.WithRegion(testRegion)), "db")
	require.Error(t, err)
}
