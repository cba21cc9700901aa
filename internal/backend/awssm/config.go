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
	// maxBody limits the size of an answer: a secret has at most 64 KiB, its JSON
	// escapes take six times that, and a batch holds 20 of them.
	maxBody = 8 << 20

	// maxConcurrentCalls limits the calls that run at a time. A connection is kept
	// for each.
	maxConcurrentCalls = 50

	// credentialsTimeout limits one attempt to retrieve credentials, in however many
	// steps, and the run of a credential_process: one that hangs must leave time for
	// another attempt.
	credentialsTimeout = 20 * time.Second

	// sourceRequestTimeout limits one request to a source of credentials. The SDK
	// continues it after its caller has left, and all later callers wait for it.
	sourceRequestTimeout = 10 * time.Second

	// metadataRequestTimeout limits one request to the instance metadata service, so
	// that a machine without credentials reports it within seconds: outside EC2 no
	// packet to that address is answered.
	metadataRequestTimeout = 2 * time.Second
)

// load loads the configuration of all clients. region is used if a part of the
// credential chain, such as STS, needs one and the environment sets none.
func (b *Backend) load(ctx context.Context, region string) (*session, error) {
	loaded, err := b.loadConfig(ctx, region)
	if err != nil {
		return nil, err
	}
	if loaded.Credentials == nil {
		return nil, fault.New(fault.Unauthenticated, "the given aws.Config has no credentials")
	}
	chain := newChain(loaded, b.callerConfig != nil, &b.metadataAnswered)
	s := &session{config: loaded, chain: chain, clients: map[clientKey]*client{}}
	s.config.Credentials = s.chain
	bundle := ""
	if b.callerConfig == nil {
		bundle = caBundlePath(loaded.ConfigSources)
	}
	s.config.HTTPClient = guardClient(loaded.HTTPClient, b.policy, bundle)
	return s, nil
}

func (b *Backend) loadConfig(ctx context.Context, region string) (aws.Config, error) {
	if b.callerConfig != nil {
		return b.callerConfig.Copy(), nil
	}
	sourceClient := awshttp.NewBuildableClient().WithTimeout(sourceRequestTimeout).
		WithTransportOptions(func(t *http.Transport) {
			t.Proxy, t.OnProxyConnectResponse = httpguard.Proxy, httpguard.CheckProxyAnswer
		})
	metadata, bundleClient := &imdsV2{}, &deferredClient{}
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithDefaultRegion(region),
		config.WithLogger(sdkLogger{b.log}),
		config.WithHTTPClient(sourceClient),
		config.WithRetryer(func() aws.Retryer { return clockRetryer{} }),
		// AWS_DEFAULTS_MODE=auto would call the metadata service.
		config.WithDefaultsMode(aws.DefaultsModeLegacy),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = metadata }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) {
			o.HTTPClient, o.Retryer = bundleClient, aws.NopRetryer{}
		}),
		config.WithProcessCredentialOptions(func(o *processcreds.Options) {
			o.Timeout = credentialsTimeout
		}),
	)
	if err != nil {
		return aws.Config{}, explainLoadError(err)
	}
	bundleClient.HTTPClient = loaded.HTTPClient
	metadata.client = imds.NewFromConfig(loaded, func(o *imds.Options) {
		o.EnableFallback = aws.FalseTernary
		o.HTTPClient = statusRecorder{sourceClient.WithTimeout(b.metadataTimeout)}
	})
	return loaded, nil
}

// imdsV2 is the instance metadata client without the fallback to version 1 of the
// service. client is set as soon as the configuration that it needs is loaded,
// before the first request for credentials.
type imdsV2 struct{ client *imds.Client }

func (m *imdsV2) GetMetadata(
	ctx context.Context, in *imds.GetMetadataInput, opts ...func(*imds.Options),
) (*imds.GetMetadataOutput, error) {
	var seen lastResponse
	out, err := m.client.GetMetadata(context.WithValue(ctx, lastResponseKey{}, &seen), in, opts...)
	if err != nil {
		// The SDK hides the status and the error of a failed request for a session token.
		if isTransient(seen.status) || seen.status == http.StatusUnauthorized {
			return nil, fault.New(fault.Unavailable, "%s is temporarily unavailable (status %d)",
				metadataSource, seen.status)
		}
		if seen.err != nil {
			return nil, fmt.Errorf("%w: %w", err, seen.err)
		}
	}
	return out, err
}

// deferredClient stands for the HTTP client of the configuration, which has the CA
// bundle of the environment or profile, until the configuration is loaded.
type deferredClient struct{ aws.HTTPClient }

// statusRecorder records the outcome of the last request in its context.
type statusRecorder struct{ aws.HTTPClient }

type lastResponse struct {
	status int
	err    error
}

type lastResponseKey struct{}

func (w statusRecorder) Do(req *http.Request) (*http.Response, error) {
	resp, err := w.HTTPClient.Do(req)
	if seen, ok := req.Context().Value(lastResponseKey{}).(*lastResponse); ok {
		*seen = lastResponse{err: err}
		if err == nil {
			seen.status = resp.StatusCode
		}
	}
	return resp, err
}

// guardClient wraps an HTTP client with [httpguard.Transport]. A client of the
// caller controls how requests are sent, but its answers are checked in the same
// way. bundle is the CA file, which is reloaded when it changes, or empty.
func guardClient(c aws.HTTPClient, policy *httpguard.Policy, bundle string) aws.HTTPClient {
	if c == nil {
		c = awshttp.NewBuildableClient()
	}
	base := http.RoundTripper(clientTransport{c})
	if sdk, ok := c.(*awshttp.BuildableClient); ok {
		// GetTransport returns a copy, with the CA bundle of the environment or profile.
		pool := httpguard.NewPool(configureTransport(sdk.GetTransport()))
		pool.ReloadCertificates(reloadCABundle(bundle, policy.Log), bundle)
		base = pool
	}
	return &http.Client{
		Transport: &httpguard.Transport{Base: base, AllowRedirect: policy.RedirectCheck(),
			MaxBody: maxBody, Check: checkJSON},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// caBundlePath returns the path of the CA bundle that the environment or the
// profile sets.
func caBundlePath(sources []any) (path string) {
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

// reloadCABundle returns a function that reads the CAs of a TLS configuration from
// a file, as the SDK does when it loads its configuration.
func reloadCABundle(path string, log *slog.Logger) func(*tls.Config) error {
	return func(c *tls.Config) error {
		pool, text, err := x509.NewCertPool(), []byte(nil), error(nil)
		if text, err = os.ReadFile(path); err == nil && !pool.AppendCertsFromPEM(text) {
			err = errors.New("no certificates")
		}
		if err != nil {
			log.Warn("the CA bundle of AWS has changed and cannot be read: the old one stays in use",
				"file", fault.SafePath(path))
			return err
		}
		c.RootCAs = pool
		return nil
	}
}

// configureTransport makes t keep a connection for every concurrent call, and not
// send plain http through a proxy.
func configureTransport(t *http.Transport) *http.Transport {
	tunnel := t.Proxy
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if tunnel == nil || req.URL.Scheme != "https" {
			return nil, nil
		}
		return tunnel(req)
	}
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxConcurrentCalls
	return t
}

// clientTransport is an http.RoundTripper that uses a client.
type clientTransport struct{ aws.HTTPClient }

func (d clientTransport) RoundTrip(req *http.Request) (*http.Response, error) { return d.Do(req) }

// checkJSON refuses an answer in which a lenient decoder would silently replace
// bytes of the password.
func checkJSON(body []byte) error {
	if err := jsonptr.Valid(body); err != nil {
		return fault.New(fault.Unavailable, "the answer is not the JSON of AWS Secrets Manager (%s)",
			err).Permanently()
	}
	return nil
}

// explainLoadError explains why the configuration does not load. The files may
// hold keys, so only names are repeated and err itself is not kept.
func explainLoadError(err error) error {
	const where = "check AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE " +
		"and AWS_CA_BUNDLE"
	failure := func(format string, args ...any) error {
		return fault.New(fault.Unauthenticated, format+": "+where, args...)
	}
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return failure("the AWS profile %q does not exist", missing.Profile)
	}
	if role, ok := errors.AsType[config.SharedConfigAssumeRoleError](err); ok {
		return failure("the AWS profile %q, which assumes a role, has no usable source of credentials",
			role.Profile)
	}
	if role, ok := errors.AsType[config.CredentialRequiresARNError](err); ok {
		return failure("the AWS profile %q has no role_arn", role.Profile)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return failure("cannot read %s", fault.SafePath(path.Path))
	}
	if file, ok := errors.AsType[config.SharedConfigLoadError](err); ok {
		return failure("%s is not an AWS configuration file", fault.SafePath(file.Filename))
	}
	switch {
	case unsendableVariable("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return failure("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL: it %s", unsendableText)
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && os.Getenv("AWS_ROLE_ARN") == "":
		return failure("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")
	case os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return failure("the AWS configuration cannot be loaded; " +
			"a plain http URL in AWS_CONTAINER_CREDENTIALS_FULL_URI must lead to loopback or the container's agent")
	}
	if name := mentionedVariable(err.Error()); name != "" {
		return failure("the AWS configuration cannot be loaded because of %s", name)
	}
	return failure("the AWS configuration cannot be loaded")
}

// mentionedVariable returns the name of a variable that is set and that text
// mentions; the longest one if there are several.
func mentionedVariable(text string) (name string) {
	for _, pair := range os.Environ() {
		candidate, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(candidate, "AWS_") && len(candidate) > len(name) &&
			strings.Contains(text, candidate) {
			name = candidate
		}
	}
	return name
}

// sdkLogger passes the messages of the SDK to our logger.
type sdkLogger struct{ log *slog.Logger }

func (l sdkLogger) Logf(class logging.Classification, format string, _ ...any) {
	// The arguments are omitted: in debug modes they are requests and answers.
	level := slog.LevelDebug
	if class == logging.Warn {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "aws sdk", "message", format)
}
