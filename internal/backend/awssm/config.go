package awssm

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

const (
	// maxBody bounds an answer: a secret has at most 64 KiB, its JSON escapes
	// six times that, and a batch has 20 of them.
	maxBody = 8 << 20

	// atATime is how many calls run at a time; a connection is kept for each.
	atATime = 50

	// sourceWait bounds one attempt to come by credentials, in whatever number of
	// steps, and the run of a credential_process: one that hangs must leave time
	// for another attempt.
	sourceWait = 20 * time.Second

	// giverWait bounds one request to a source of credentials. The SDK
	// lets it run on when its caller has left, and all later ones wait for it.
	giverWait = 10 * time.Second

	// metadataWait bounds one request to the instance metadata service, so that
	// a machine without credentials says so within seconds: outside EC2 the
	// address is a black hole.
	metadataWait = 2 * time.Second
)

// load makes the configuration of all clients. region is used where a part of
// the credential chain, such as STS, needs one and the environment names none.
func (b *Backend) load(ctx context.Context, region string) (*session, error) {
	loaded, err := b.configuration(ctx, region)
	if err != nil {
		return nil, err
	}
	if loaded.Credentials == nil {
		return nil, fault.New(fault.Unauthenticated, "the given aws.Config has no credentials")
	}
	s := &session{config: loaded, chain: newChain(loaded, b.given != nil, &b.metadataAnswered), clients: map[place]*client{}}
	s.config.Credentials = s.chain
	bundle := ""
	if b.given == nil {
		bundle = caBundle(loaded.ConfigSources)
	}
	s.config.HTTPClient = guarded(loaded.HTTPClient, b.policy, bundle)
	return s, nil
}

func (b *Backend) configuration(ctx context.Context, region string) (aws.Config, error) {
	if b.given != nil {
		return b.given.Copy(), nil
	}
	givers := awshttp.NewBuildableClient().WithTimeout(giverWait).WithTransportOptions(func(t *http.Transport) {
		t.Proxy, t.OnProxyConnectResponse = httpguard.Proxy, httpguard.ProxyAnswer
	})
	metadata, bundled := &metadataV2{}, &lateClient{}
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithDefaultRegion(region),
		config.WithLogger(sdkLogger{b.log}),
		config.WithHTTPClient(givers),
		config.WithRetryer(func() aws.Retryer { return clockRetryer{} }),
		// Of the modes, AWS_DEFAULTS_MODE=auto would ask the metadata service.
		config.WithDefaultsMode(aws.DefaultsModeLegacy),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = metadata }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient, o.Retryer = bundled, aws.NopRetryer{} }),
		config.WithProcessCredentialOptions(func(o *processcreds.Options) { o.Timeout = sourceWait }),
	)
	if err != nil {
		return aws.Config{}, explainLoad(err)
	}
	bundled.HTTPClient = loaded.HTTPClient
	metadata.client = imds.NewFromConfig(loaded, func(o *imds.Options) {
		o.EnableFallback = aws.FalseTernary
		o.HTTPClient = witness{givers.WithTimeout(metadataWait)}
	})
	return loaded, nil
}

// metadataV2 is the instance metadata client without the fallback to version 1
// of the service. The client is set once the configuration that it needs is
// loaded, before the first request for credentials.
type metadataV2 struct{ client *imds.Client }

func (m *metadataV2) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, opts ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	var seen exchange
	out, err := m.client.GetMetadata(context.WithValue(ctx, exchangeKey{}, &seen), in, opts...)
	if err != nil {
		// The SDK hides both of a failed request for a session token.
		if passes(seen.status) || seen.status == http.StatusUnauthorized {
			return nil, fault.New(fault.Unavailable, "%s is temporarily unavailable (status %d)", metadataGiver, seen.status)
		}
		if seen.err != nil {
			return nil, fmt.Errorf("%w: %w", err, seen.err)
		}
	}
	return out, err
}

// lateClient is the HTTP client of the loaded configuration, with the CA bundle
// of environment or profile, for what is made before that is loaded.
type lateClient struct{ aws.HTTPClient }

// witness notes the outcome of the last request for the caller.
type witness struct{ aws.HTTPClient }

type exchange struct {
	status int
	err    error
}

type exchangeKey struct{}

func (w witness) Do(req *http.Request) (*http.Response, error) {
	resp, err := w.HTTPClient.Do(req)
	if seen, ok := req.Context().Value(exchangeKey{}).(*exchange); ok {
		*seen = exchange{err: err}
		if err == nil {
			seen.status = resp.StatusCode
		}
	}
	return resp, err
}

// guarded puts the transport policy around an HTTP client. One of the caller's
// own making sends the requests as it likes; its answers are held to the same.
// bundle is the file of the CAs, which is read again when it changes, or empty.
func guarded(c aws.HTTPClient, policy *httpguard.Policy, bundle string) aws.HTTPClient {
	if c == nil {
		c = awshttp.NewBuildableClient()
	}
	base := http.RoundTripper(doer{c})
	if sdk, ok := c.(*awshttp.BuildableClient); ok {
		pool := httpguard.NewPool(pooled(sdk.GetTransport())) // a copy, with the CA bundle of environment or profile
		pool.Watch(reloadBundle(bundle, policy.Log), bundle)
		base = pool
	}
	return &http.Client{
		Transport: &httpguard.Transport{Base: base, AllowRedirect: policy.Redirects(), MaxBody: maxBody, Check: strictJSON},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// caBundle returns the path of the CA bundle that the environment or the profile
// names.
func caBundle(sources []any) (path string) {
	for _, source := range sources {
		switch source := source.(type) {
		case config.EnvConfig:
			path = cmp.Or(path, source.CustomCABundle)
		case config.SharedConfig:
			path = cmp.Or(path, source.CustomCABundle)
		}
	}
	return path
}

// reloadBundle returns a function that makes the CAs in a file those of a TLS
// configuration, as the SDK does when it loads its own.
func reloadBundle(path string, log *slog.Logger) func(*tls.Config) error {
	return func(c *tls.Config) error {
		pool, text, err := x509.NewCertPool(), []byte(nil), error(nil)
		if text, err = os.ReadFile(path); err == nil && !pool.AppendCertsFromPEM(text) {
			err = errors.New("no certificates")
		}
		if err != nil {
			log.Warn("the CA bundle of AWS has changed and cannot be read: the old one stays in use", "file", fault.SafePath(path))
			return err
		}
		c.RootCAs = pool
		return nil
	}
}

// pooled keeps a connection for every fetch that runs at a time, and clear text
// out of proxies.
func pooled(t *http.Transport) *http.Transport {
	tunnel := t.Proxy
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if tunnel == nil || req.URL.Scheme != "https" {
			return nil, nil
		}
		return tunnel(req)
	}
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, atATime
	return t
}

// doer is a client as a http.RoundTripper.
type doer struct{ aws.HTTPClient }

func (d doer) RoundTrip(req *http.Request) (*http.Response, error) { return d.Do(req) }

// strictJSON refuses an answer in which a lenient decoder would silently
// replace bytes of the password.
func strictJSON(body []byte) error {
	if err := jsonptr.Valid(body); err != nil {
		return fault.New(fault.Unavailable, "the answer is not the JSON of AWS Secrets Manager (%s)", err).Permanently()
	}
	return nil
}

// explainLoad says why the configuration does not load. The files' text may
// hold keys, so that only names are repeated and the error itself is not kept.
func explainLoad(err error) error {
	const where = "check AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE and AWS_CA_BUNDLE"
	because := func(format string, args ...any) error {
		return fault.New(fault.Unauthenticated, format+": "+where, args...)
	}
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return because("the AWS profile %q does not exist", missing.Profile)
	}
	if role, ok := errors.AsType[config.SharedConfigAssumeRoleError](err); ok {
		return because("the AWS profile %q, which assumes a role, has no usable source of credentials", role.Profile)
	}
	if role, ok := errors.AsType[config.CredentialRequiresARNError](err); ok {
		return because("the AWS profile %q names no role_arn", role.Profile)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return because("cannot read %s", fault.SafePath(path.Path))
	}
	if file, ok := errors.AsType[config.SharedConfigLoadError](err); ok {
		return because("%s is not an AWS configuration file", fault.SafePath(file.Filename))
	}
	switch {
	case unsendableVariable("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return because("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL: it %s", unsendableText)
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && os.Getenv("AWS_ROLE_ARN") == "":
		return because("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")
	case os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return because("the AWS configuration does not load; plain http in AWS_CONTAINER_CREDENTIALS_FULL_URI must lead to loopback or the container's agent")
	}
	if name := variableIn(err.Error()); name != "" {
		return because("the AWS configuration does not load because of %s", name)
	}
	return because("the AWS configuration does not load")
}

// variableIn returns the longest name of a variable that is set and that text
// speaks of.
func variableIn(text string) (name string) {
	for _, pair := range os.Environ() {
		if candidate, _, _ := strings.Cut(pair, "="); strings.HasPrefix(candidate, "AWS_") && len(candidate) > len(name) && strings.Contains(text, candidate) {
			name = candidate
		}
	}
	return name
}

// sdkLogger gives the SDK's few messages to ours.
type sdkLogger struct{ log *slog.Logger }

func (l sdkLogger) Logf(class logging.Classification, format string, _ ...any) {
	// The arguments are left out: in debug modes they are requests and answers.
	level := slog.LevelDebug
	if class == logging.Warn {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "aws sdk", "message", format)
}
