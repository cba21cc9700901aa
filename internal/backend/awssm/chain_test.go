package awssm_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// hangingServer accepts connections and never answers.
func hangingServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return "http://" + l.Addr().String()
}

// closedPort returns the URL of a port without a listener.
func closedPort(t *testing.T) string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

// credentialSources are the sources of credentials. fetches counts the requests to one.
var credentialSources = map[string]struct {
	prepare func(*testing.T, *fakeaws.Server)
	fetches func(*fakeaws.Server) int
	want    int
}{
	"environment": {func(t *testing.T, _ *fakeaws.Server) { keyed(t) }, nil, 0},
	"shared file": {func(t *testing.T, _ *fakeaws.Server) {
		file(t, "AWS_SHARED_CREDENTIALS_FILE",
			"[prod]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+key+"\n")
		t.Setenv("AWS_PROFILE", "prod")
	}, nil, 0},
	"web identity": {webIdentity, func(s *fakeaws.Server) int { return len(s.STSRequests()) }, 1},
	"assumed role": {func(t *testing.T, s *fakeaws.Server) {
		s.AddRole(roleARN, "")
		file(t, "AWS_CONFIG_FILE",
			"[default]\nrole_arn = "+roleARN+"\nsource_profile = base\n[profile base]\naws_access_key_id = "+
				keyID+"\naws_secret_access_key = "+key+"\n")
	}, func(s *fakeaws.Server) int { return len(s.STSRequests()) }, 1},
	"container": {container, func(s *fakeaws.Server) int { return len(s.MetadataRequests()) }, 1},
	// token, role, credentials
	"instance": {instance, func(s *fakeaws.Server) int { return len(s.MetadataRequests()) }, 3},
}

func webIdentity(t *testing.T, s *fakeaws.Server) {
	s.AddRole(roleARN, "jwt-"+canary)
	file(t, "AWS_WEB_IDENTITY_TOKEN_FILE", "jwt-"+canary)
	t.Setenv("AWS_ROLE_ARN", roleARN)
}

func container(t *testing.T, s *fakeaws.Server) {
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL())
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", s.ECSToken())
}

func instance(t *testing.T, s *fakeaws.Server) {
	s.AddInstanceRole("app")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.IMDSURL())
}

func TestCredentials(t *testing.T) {
	for name, source := range credentialSources {
		t.Run(name, func(t *testing.T) {
			s := fake(t)
			source.prepare(t, s)
			t.Setenv("AWS_REGION", "")            // a reference names its region
			t.Setenv("AWS_DEFAULTS_MODE", "auto") // would call the metadata service
			w := open(t, nil, nil, 10*time.Second)
			var callers sync.WaitGroup
			for i := range 100 {
				callers.Go(func() {
					for _, got := range w.get(db(regions[i%3]), db(regions[(i+1)%3])) {
						require.NoError(t, got.Err)
						require.Equal(t, "hunter2", got.Text)
					}
				})
			}
			callers.Wait()
			called := map[string]bool{}
			for _, call := range s.Requests() {
				called[call.Region] = true
			}
			require.Len(t, called, 3)
			if source.fetches == nil {
				require.Empty(t, s.STSRequests())
				require.Empty(t, s.MetadataRequests())
			} else {
				require.Equal(t, source.want, source.fetches(s))
			}
			require.Zero(t, s.V1Attempts())
		})
	}
}

func TestRegion_precedence(t *testing.T) {
	s := fake(t)
	keyed(t)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_DEFAULT_REGION", "us-east-1")
	open(t, nil, nil, time.Minute).good()
	require.Equal(t, "eu-west-1", s.Requests()[0].Region)
}

// New credentials are used without a restart.
func TestCredentials_refused(t *testing.T) {
	s := fake(t)
	path := file(t, "AWS_SHARED_CREDENTIALS_FILE",
		"[default]\naws_access_key_id = AKIDOLD\naws_secret_access_key = the key of last year\n")
	w := open(t, nil, nil, time.Minute)
	w.fails(fault.Unauthenticated, "does not recognize these credentials")
	require.NoError(t,
		os.WriteFile(path,
			[]byte("[default]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+key+"\n"), 0o600))
	w.good()

	t.Run("a session that was revoked", func(t *testing.T) {
		s := fake(t)
		webIdentity(t, s)
		w := open(t, nil, nil, time.Minute)
		w.good()
		s.ExpireCredentials()
		w.good()
		require.Len(t, s.STSRequests(), 2)
	})
	require.Equal(t, 2, s.Calls())
}

func TestCredentials_none(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *fakeaws.Server){
		"metadata switched off": func(t *testing.T, _ *fakeaws.Server) {},
		"metadata hangs": func(t *testing.T, _ *fakeaws.Server) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", hangingServer(t))
		},
		"metadata refuses connections": func(t *testing.T, _ *fakeaws.Server) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", closedPort(t))
		},
		"metadata has only version 1": func(t *testing.T, _ *fakeaws.Server) {
			v1 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				t.Error("a request has no token")
			}))
			t.Cleanup(v1.Close)
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", v1.URL)
		},
		"metadata dribbles": func(t *testing.T, _ *fakeaws.Server) {
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			t.Cleanup(slow.Close)
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", slow.URL)
		},
		"an instance without a role": func(t *testing.T, s *fakeaws.Server) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.IMDSURL())
		},
		"half a key": func(t *testing.T, _ *fakeaws.Server) { t.Setenv("AWS_SECRET_ACCESS_KEY", key) },
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t)
			prepare(t, s)
			w := open(t, nil, nil, time.Hour) // the chain has its own timeouts
			if name == "metadata hangs" || name == "metadata dribbles" {
				w.backend.SetMetadataTimeout(100 * time.Millisecond)
			}
			w.fails(fault.Unauthenticated, "AWS_ACCESS_KEY_ID (not set)", "AWS_WEB_IDENTITY_TOKEN_FILE",
				os.Getenv("AWS_CONFIG_FILE")+" (cannot be read)",
				os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
				"EC2 instance metadata", "Java system properties")
			require.Zero(t, s.V1Attempts())
			require.Zero(t, s.Calls())
			if os.Getenv("AWS_SECRET_ACCESS_KEY") != "" {
				w.fails(fault.Unauthenticated, "AWS_SECRET_ACCESS_KEY (set)")
			}
			if name == "an instance without a role" {
				w.fails(fault.Unauthenticated, "no role is attached")
			}
		})
	}
	t.Run("also when Timeout is shorter", func(t *testing.T) {
		fake(t)
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", hangingServer(t))
		open(t, nil, nil, 100*time.Millisecond).fails(fault.Unauthenticated, "no AWS credentials found")
	})
}
