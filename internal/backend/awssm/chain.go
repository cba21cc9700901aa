package awssm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// The sources of credentials, as messages call them.
const (
	metadataSource  = "the EC2 instance metadata service"
	containerSource = "the container's credentials endpoint"
	stsSource       = "AWS STS"
	ssoSource       = "AWS IAM Identity Center"
	signInSource    = "AWS Sign-In"
	processSource   = "the credential_process of the AWS profile"
)

// chain is the credential chain: its credentials are fetched once for all
// callers, and its errors are marked as such.
type chain struct {
	cache            *aws.CredentialsCache
	credentialSource string // the source that is asked for them; empty: none is
	tokenFile        string // of the web identity, if that is how
	roleARN          string // that is assumed, if one is
	region           string // where STS is called
	fromCaller       bool   // by the caller, so that environment and files do not matter
	reloadIsFree     bool   // keys of the environment or a file: to load them costs nothing

	lastIssued       atomic.Pointer[aws.Credentials] // the last credentials; nil: none yet
	metadataAnswered *atomic.Bool                    // the metadata service did so once
}

func newChain(loaded aws.Config, given bool, metadataAnswered *atomic.Bool) *chain {
	p, c := loaded.Credentials, &chain{fromCaller: given, region: loaded.Region, metadataAnswered: metadataAnswered}
	c.reloadIsFree = !given && aws.IsCredentialsProvider(p, credentials.StaticCredentialsProvider{})
	web := aws.IsCredentialsProvider(p, (*stscreds.WebIdentityRoleProvider)(nil))
	tokenFile, role := roleSettings(loaded.ConfigSources)
	if web {
		c.tokenFile = tokenFile
	}
	if web || aws.IsCredentialsProvider(p, (*stscreds.AssumeRoleProvider)(nil)) {
		c.roleARN = role
	}
	for _, known := range []struct {
		provider aws.CredentialsProvider
		giver    string
	}{
		{(*ec2rolecreds.Provider)(nil), metadataSource},
		{(*endpointcreds.Provider)(nil), containerSource},
		{(*stscreds.WebIdentityRoleProvider)(nil), stsSource},
		{(*stscreds.AssumeRoleProvider)(nil), stsSource},
		{(*ssocreds.Provider)(nil), ssoSource},
		{(*logincreds.Provider)(nil), signInSource},
		{(*processcreds.Provider)(nil), processSource},
	} {
		if aws.IsCredentialsProvider(p, known.provider) {
			c.credentialSource = known.giver
		}
	}
	var cached bool
	if c.cache, cached = p.(*aws.CredentialsCache); !cached {
		c.cache = aws.NewCredentialsCache(p)
	}
	return c
}

// roleSettings returns the path of the web identity token and the role, if the
// environment or the profile names them.
func roleSettings(sources []any) (tokenFile, role string) {
	for _, source := range sources {
		switch source := source.(type) {
		case config.EnvConfig:
			if source.WebIdentityTokenFilePath != "" {
				return source.WebIdentityTokenFilePath, source.RoleARN
			}
		case config.SharedConfig:
			tokenFile, role = cmp.Or(tokenFile, source.WebIdentityTokenFile), cmp.Or(role, source.RoleARN)
		}
	}
	return tokenFile, role
}

// Retrieve implements aws.CredentialsProvider.
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	found, err := c.cache.Retrieve(ctx)
	if err != nil {
		return found, &chainError{c, err}
	}
	if err := c.checkCredentials(found); err != nil {
		return aws.Credentials{}, err
	}
	if last := c.lastIssued.Load(); last == nil || !sameKeys(*last, found) {
		c.lastIssued.Store(&found)
		if c.credentialSource == metadataSource {
			c.metadataAnswered.Store(true)
		}
	}
	return found, nil
}

type chainError struct {
	chain *chain
	err   error
}

func (e *chainError) Error() string { return "no AWS credentials" }
func (e *chainError) Unwrap() error { return e.err }

// explain distinguishes a chain that found nothing from one that was refused and
// from one whose source does not answer.
func (e *chainError) explain() *fault.Error {
	failed := failedSource(e.err) // "": not a request
	source := cmp.Or(failed, e.chain.credentialSource)
	status, header := httpResponse(e.err)
	code := ""
	if api, ok := errors.AsType[smithy.APIError](e.err); ok && isServiceCode(api.ErrorCode()) {
		code = api.ErrorCode()
	}
	because := func(kind error, format string, args ...any) *fault.Error {
		f := fault.New(kind, format, args...).WithCause(sanitizedCause(e.err))
		f.RetryAfter = httpguard.RetryAfter(header)
		return f
	}
	timedOut := errors.Is(e.err, context.DeadlineExceeded)
	if errors.Is(e.err, context.Canceled) && !timedOut {
		return because(fault.Unavailable, "the request for AWS credentials was canceled")
	}
	if text := e.settingMistake(source); text != "" {
		return because(fault.Unauthenticated, "%s", text)
	}
	if _, invalid := errors.AsType[*ssocreds.InvalidTokenError](e.err); invalid || failed == "" && !timedOut && (source == ssoSource || source == signInSource) {
		return because(fault.Unauthenticated, "there is no session of %s, or it has ended: %s", source, hint(source))
	}
	if process, ok := errors.AsType[*processcreds.ProviderError](e.err); ok {
		if process.Err != nil && strings.HasPrefix(process.Err.Error(), "credential process timed out") {
			return because(fault.Unavailable, "%s did not end within %v", processSource, credentialsTimeout)
		}
		return because(fault.Unauthenticated, "%s failed: run it by hand as the user of this process", processSource)
	}
	if path, ok := errors.AsType[*fs.PathError](e.err); ok {
		return because(fault.Unauthenticated, "cannot read %s, where the AWS credentials should come from", fault.SafePath(path.Path))
	}
	switch {
	case isTransient(status) || isThrottling(code) || code == "IDPCommunicationError":
		return because(fault.Unavailable, "%s is temporarily unavailable (%s)", cmp.Or(source, "the source of the AWS credentials"), codeOrStatus(code, status))
	case source == metadataSource && status == http.StatusNotFound:
		return because(fault.Unauthenticated, "no role is attached to the EC2 instance, and %s", e.noCredentials())
	case source == "" && e.chain.fromCaller && timedOut:
		return because(fault.Unavailable, "the credentials of the given aws.Config were not retrieved in time")
	case source == metadataSource || source == "":
		return e.explainMetadata(because)
	case code == "" && status >= 400 && isAWSService(source):
		// AWS names a code where it refuses. Others are proxies, gateways and pages.
		return because(fault.Unavailable, "%s answered with status %d, but not as AWS does: is a proxy or a gateway in between?", source, status).Permanently()
	case code != "" || status >= 400:
		return because(fault.Unauthenticated, "%s refuses to give out credentials (%s): %s", source, codeOrStatus(code, status), hint(source))
	}
	if f := httpguard.Explain(e.err, source); f.Permanent {
		return f.WithCause(sanitizedCause(e.err))
	}
	if dns, ok := errors.AsType[*net.DNSError](e.err); ok && dns.IsNotFound && source == stsSource {
		return because(fault.Unavailable, "%s does not answer: its name does not resolve; is the region %q right, which %s names?",
			source, e.chain.region, e.chain.regionSettingName())
	}
	return because(fault.Unavailable, "%s does not answer", source)
}

// explainMetadata explains that the metadata service, the last in the chain, gave no
// credentials out. One that cannot be reached may be one that is down, or may
// not exist since this is no EC2 instance: the error is of both kinds, so that
// a last known secret is used, and is not worth another attempt. One that once
// answered, or broke a connection off, exists.
func (e *chainError) explainMetadata(because func(error, string, ...any) *fault.Error) *fault.Error {
	_, network := errors.AsType[net.Error](e.err)
	timedOut := errors.Is(e.err, context.DeadlineExceeded)
	interrupted := slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE}, func(target error) bool {
		return errors.Is(e.err, target)
	})
	switch {
	case !network && !timedOut && !interrupted:
		return because(fault.Unauthenticated, "%s", e.noCredentials())
	case interrupted || e.chain.fromCaller || e.chain.metadataAnswered.Load():
		return because(fault.Unavailable, "%s does not answer", metadataSource)
	}
	return because(fault.Unauthenticated, "%s", e.noCredentials()).MaybeOutage().Permanently()
}

// failedSource returns the source whose request failed, where a chain goes through
// several, as a role assumed with an instance's credentials does.
func failedSource(err error) (giver string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return giver
		}
		switch service := op.Service(); service {
		case "ec2imds":
			giver = metadataSource
		case "STS":
			giver = stsSource
		case "SSO", "SSO OIDC":
			giver = ssoSource
		case "Signin":
			giver = signInSource
		default:
			giver = "AWS " + service
		}
		err = op.Err
	}
}

// isAWSService reports whether a giver is a service of AWS, and no agent of a machine.
func isAWSService(giver string) bool {
	return giver == stsSource || giver == ssoSource || giver == signInSource
}

func hint(giver string) string {
	switch giver {
	case containerSource:
		return "check AWS_CONTAINER_AUTHORIZATION_TOKEN, or the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"
	case ssoSource:
		return "run \"aws sso login\" as the user of this process"
	case signInSource:
		return "run \"aws login\" as the user of this process"
	}
	return "check the role, its trust policy and the token or key that requests it"
}

// noCredentials says that there are no credentials, and where they could have been.
func (e *chainError) noCredentials() string {
	if e.chain.fromCaller {
		return "the credentials of the given aws.Config cannot be retrieved"
	}
	return "no AWS credentials found; looked at " + searchedPlaces() +
		"; Java system properties (-Daws.accessKeyId) are not seen by Go programs"
}

// searchedPlaces lists the places of the default credential chain and what stands
// there, without any value.
func searchedPlaces() string {
	var b strings.Builder
	set := func(names ...string) {
		for _, name := range names {
			state := "not set"
			if os.Getenv(name) != "" {
				state = "set"
			}
			b.WriteString(name + " (" + state + "), ")
		}
	}
	set("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_PROFILE")
	for _, f := range []struct{ variable, path string }{
		{"AWS_SHARED_CREDENTIALS_FILE", config.DefaultSharedCredentialsFilename()},
		{"AWS_CONFIG_FILE", config.DefaultSharedConfigFilename()},
	} {
		path := cmp.Or(os.Getenv(f.variable), f.path)
		state := "present"
		if !canRead(path) {
			state = "cannot be read"
		}
		b.WriteString("the file " + path + " (" + state + "), ")
	}
	set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
	b.WriteString(metadataSource + ", version 2")
	if strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		b.WriteString(" (switched off by AWS_EC2_METADATA_DISABLED)")
	}
	return b.String()
}

func canRead(path string) bool {
	// To open a named pipe would wait for its writer.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	file.Close()
	return true
}
