package secretref_test

import (
	"crypto/fips140"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// awsFailsAtOnce requires an error of the kind, with the text, after one attempt.
func awsFailsAtOnce(t *testing.T, kind error, text ...string) {
	t.Helper()
	r, events := awsResolver(t, secretref.Options{Timeout: 10 * time.Minute})
	_, err := r.Resolve(t.Context(), awsDB(""))
	require.ErrorIs(t, err, kind)
	for _, text := range text {
		require.ErrorContains(t, err, text)
	}
	requireSilent(t, err)
	require.Equal(t, 1, events()[0].Attempts)
	require.Less(t, events()[0].Duration, time.Minute)
}

func TestAWSCredentials_localMistakes(t *testing.T) {
	unauthenticated := secretref.ErrUnauthenticated
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		for what, end := range map[string]string{"newline": "\n", "carriage return": "\r", "tab": "\t",
			"space": " ", "control": "\x01", "no-break space": "\u00a0", "DEL": "\x7f"} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := awsFake(t)
				t.Setenv(name, os.Getenv(name)+end)
				awsFailsAtOnce(t, unauthenticated, name)
				require.Zero(t, s.Calls())
			})
		}
	}
	t.Run("in the shared file", func(t *testing.T) {
		awsFake(t)
		awsWithoutKeys(t)
		path := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
		require.NoError(t,
			os.WriteFile(path,
				[]byte("[default]\naws_access_key_id = "+awsKeyID+
					"\naws_secret_access_key = k\naws_session_token = a\x01b\n"), 0o600))
		awsFailsAtOnce(t, unauthenticated, path, "aws_session_token")
	})
	t.Run("from a process", func(t *testing.T) {
		awsFake(t)
		awsWithoutKeys(t)
		awsProcess(t,
			`printf '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c\\n"}'`)
		awsFailsAtOnce(t, unauthenticated, "credential_process")
	})
	pod := func(t *testing.T) (s *fakeaws.Server, token string) {
		s = awsFake(t)
		token = filepath.Join(awsWithoutKeys(t), "token")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL())
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
		return s, token
	}
	t.Run("pod identity token file missing", func(t *testing.T) {
		_, token := pod(t)
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	})
	t.Run("pod identity token file is a directory", func(t *testing.T) {
		_, token := pod(t)
		require.NoError(t, os.Mkdir(token, 0o700))
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	})
	for what, end := range map[string]string{"newline": "\n", "control": "\x01"} {
		t.Run("pod identity token file with "+what, func(t *testing.T) {
			s, token := pod(t)
			require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()+end), 0o600))
			awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
		})
		t.Run("container token with "+what, func(t *testing.T) {
			s, _ := pod(t)
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", s.ECSToken()+end)
			awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN ")
		})
	}
	t.Run("the token instead of its file", func(t *testing.T) {
		pod(t)
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", canary)
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	})
	t.Run("container URI with a newline", func(t *testing.T) {
		s, token := pod(t)
		require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()), 0o600))
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL()+"\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	})
	t.Run("container endpoint with an untrusted certificate", func(t *testing.T) {
		s, token := pod(t)
		require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()), 0o600))
		to, err := url.Parse(s.ECSURL())
		require.NoError(t, err)
		front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host}) }})
		front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		front.StartTLS()
		t.Cleanup(front.Close)
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", front.URL+to.Path)
		awsFailsAtOnce(t, secretref.ErrUnavailable, "certificate", "AWS_CA_BUNDLE", "container")

		bundle := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t,
			os.WriteFile(bundle,
				pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
		t.Setenv("AWS_CA_BUNDLE", bundle)
		s.PutSecret("eu-west-1", "db", "hunter2")
		r, _ := awsResolver(t, secretref.Options{})
		_, err = r.Resolve(t.Context(), awsDB(""))
		require.NoError(t, err, "the bundle applies to the container endpoint, too")
	})
	webIdentity := func(t *testing.T) {
		s := awsFake(t)
		awsWithoutKeys(t)
		awsSources["web identity"].use(t, s)
	}
	t.Run("web identity token with a newline", func(t *testing.T) {
		webIdentity(t)
		path := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
		require.NoError(t, os.WriteFile(path, []byte("jwt\n"), 0o600))
		awsFailsAtOnce(t, unauthenticated, path)
	})
	t.Run("role with a newline", func(t *testing.T) {
		webIdentity(t)
		t.Setenv("AWS_ROLE_ARN", os.Getenv("AWS_ROLE_ARN")+"\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_ROLE_ARN")
	})
	t.Run("invalid role in a profile", func(t *testing.T) {
		s := awsFake(t)
		awsWithoutKeys(t)
		t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
		require.NoError(t,
			os.WriteFile(os.Getenv("AWS_CONFIG_FILE"),
				fmt.Appendf(nil,
					"[default]\nrole_arn = app-role-of-production\nsource_profile = base\n[profile base]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", awsKeyID, awsSecret, awsToken), 0o600))
		awsFailsAtOnce(t, unauthenticated, "role_arn")
	})
	t.Run("region of STS with a newline", func(t *testing.T) {
		webIdentity(t)
		require.NoError(t, os.Unsetenv("AWS_ENDPOINT_URL_STS"))
		t.Setenv("AWS_REGION", "eu-west-1\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_REGION")
	})
	t.Run("endpoint of Secrets Manager with a newline", func(t *testing.T) {
		s := awsFake(t)
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL()+"\n")
		awsFailsAtOnce(t, secretref.ErrSyntax, "AWS_ENDPOINT_URL_SECRETS_MANAGER")
	})
	sso := func(t *testing.T, token string) {
		if fips140.Enforced() {
			t.Skip("the SDK names the file of a session after the SHA-1 of its name")
		}
		awsFake(t)
		dir := awsWithoutKeys(t)
		require.NoError(t,
			os.WriteFile(filepath.Join(dir, "config"),
				[]byte("[default]\nsso_session = s\nsso_account_id = "+fakeaws.Account+
					"\nsso_role_name = r\n[sso-session s]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n"), 0o600))
		cache := filepath.Join(dir, ".aws", "sso", "cache")
		require.NoError(t, os.MkdirAll(cache, 0o700))
		const sha1OfS = "a0f1490a20d0211c997b44bc357e1972deab8ae3"
		require.NoError(t, os.WriteFile(filepath.Join(cache, sha1OfS+".json"), []byte(token), 0o600))
	}
	t.Run("expired SSO session", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary+`","expiresAt":"2001-01-01T00:00:00Z"}`)
		awsFailsAtOnce(t, unauthenticated, "aws sso login")
	})
	t.Run("damaged SSO session", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary)
		awsFailsAtOnce(t, unauthenticated, "aws sso login")
	})
	t.Run("SSO that does not answer", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary+`","expiresAt":"2999-01-01T00:00:00Z"}`)
		t.Setenv("AWS_ENDPOINT_URL_SSO", awsHangs(t))
		r, _ := awsResolver(t, secretref.Options{Timeout: 200 * time.Millisecond})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
	})
}
