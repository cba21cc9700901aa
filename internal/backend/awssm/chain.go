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

// The sources of credentials, as named in messages.
const (
	metadataSource  = "the EC2 instance metadata service"
	containerSource = "the container's credentials endpoint"
	stsSource       = "AWS STS"
	ssoSource       = "AWS IAM Identity Center"
	signInSource    = "AWS Sign-In"
	processSource   = "the credential_process of the AWS profile"
)

// chain is the credential chain. It retrieves credentials once for all callers
// and returns its errors as *chainError.
type chain struct {
	cache            *aws.CredentialsCache
	credentialSource string // the remote source; empty for local ones
	tokenFile        string // of the web identity, if one is used
	roleARN          string // of the assumed role, if any
	region           string // in which STS is called
	fromCaller       bool   // environment and files are not used
	reloadIsFree     bool   // keys come from the environment or a file

	lastIssued       atomic.Pointer[aws.Credentials] // nil if there were none yet
	metadataAnswered *atomic.Bool                    // shared by all chains of a Backend
}

func newChain(loaded aws.Config, given bool, metadataAnswered *atomic.Bool) *chain {
	p, c := loaded.Credentials,
		&chain{fromCaller: given, region: loaded.Region, metadataAnswered: metadataAnswered}
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
		source   string
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
			c.credentialSource = known.source
		}
	}
	var cached bool
	if c.cache, cached = p.(*aws.CredentialsCache); !cached {
		c.cache = aws.NewCredentialsCache(p)
	}
	return c
}

// roleSettings returns the path of the web identity token and the role that the
// environment or the profile sets.
func roleSettings(sources []any) (tokenFile, role string) {
	for _, source := range sources {
		switch source := source.(type) {
		case config.EnvConfig:
			if source.WebIdentityTokenFilePath != "" {
				return source.WebIdentityTokenFilePath, source.RoleARN
			}
		case config.SharedConfig:
			tokenFile = cmp.Or(tokenFile, source.WebIdentityTokenFile)
			role = cmp.Or(role, source.RoleARN)
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

// explain distinguishes a chain that found no credentials from one that was
// refused and from one whose source does not answer.
func (e *chainError) explain() *fault.Error {
	failed := failedSource(e.err) // "" if the failure was not a request
	source := cmp.Or(failed, e.chain.credentialSource)
	status, header := httpResponse(e.err)
	code := ""
	if api, ok := errors.AsType[smithy.APIError](e.err); ok && isServiceCode(api.ErrorCode()) {
		code = api.ErrorCode()
	}
	failure := func(kind error, format string, args ...any) *fault.Error {
		f := fault.New(kind, format, args...).WithCause(sanitizedCause(e.err))
		f.RetryAfter = httpguard.RetryAfter(header)
		return f
	}
	timedOut := errors.Is(e.err, context.DeadlineExceeded)
	if errors.Is(e.err, context.Canceled) && !timedOut {
		return failure(fault.Unavailable, "the request for AWS credentials was canceled")
	}
	if text := e.settingMistake(source); text != "" {
		return failure(fault.Unauthenticated, "%s", text)
	}
	noSession := failed == "" && !timedOut && (source == ssoSource || source == signInSource)
	if _, invalid := errors.AsType[*ssocreds.InvalidTokenError](e.err); invalid || noSession {
		return failure(fault.Unauthenticated, "%s has no session, or it has expired: %s",
			source, hint(source))
	}
	if process, ok := errors.AsType[*processcreds.ProviderError](e.err); ok {
		const timeoutText = "credential process timed out"
		if process.Err != nil && strings.HasPrefix(process.Err.Error(), timeoutText) {
			return failure(fault.Unavailable, "%s did not end within %v",
				processSource, credentialsTimeout)
		}
		return failure(fault.Unauthenticated, "%s failed: run it by hand as the user of this process",
			processSource)
	}
	if path, ok := errors.AsType[*fs.PathError](e.err); ok {
		return failure(fault.Unauthenticated, "cannot read %s, the source of the AWS credentials",
			fault.SafePath(path.Path))
	}
	switch {
	case isTransient(status) || isThrottling(code) || code == "IDPCommunicationError":
		return failure(fault.Unavailable, "%s is temporarily unavailable (%s)",
			cmp.Or(source, "the source of the AWS credentials"), codeOrStatus(code, status))
	case source == metadataSource && status == http.StatusNotFound:
		return failure(fault.Unauthenticated, "no role is attached to the EC2 instance, and %s",
			e.noCredentials())
	case source == "" && e.chain.fromCaller && timedOut:
		return failure(fault.Unavailable,
			"the credentials of the given aws.Config were not retrieved in time")
	case source == metadataSource || source == "":
		return e.explainMetadata(failure)
	case code == "" && status >= 400 && isAWSService(source):
		// A refusal by AWS has a code. Without one it comes from a proxy or gateway.
		return failure(fault.Unavailable, "%s answered with status %d, but not as AWS does: "+
			"is a proxy or a gateway in between?", source, status).Permanently()
	case code != "" || status >= 400:
		return failure(fault.Unauthenticated, "%s refuses to issue credentials (%s): %s",
			source, codeOrStatus(code, status), hint(source))
	}
	if f := httpguard.Explain(e.err, source); f.Permanent {
		return f.WithCause(sanitizedCause(e.err))
	}
	if dns, ok := errors.AsType[*net.DNSError](e.err); ok && dns.IsNotFound && source == stsSource {
		return failure(fault.Unavailable,
			"%s does not answer: its name does not resolve; is the region %q, set by %s, correct?",
			source, e.chain.region, e.chain.regionSettingName())
	}
	return failure(fault.Unavailable, "%s does not answer", source)
}

// explainMetadata explains that the metadata service, the last in the chain,
// returned no credentials. If it cannot be reached it may be down, or it may not
// exist because this is not an EC2 instance: the error is of both kinds, so that a
// last known secret is used, and permanent. A service that has answered before, or
// that closed a connection, exists.
func (e *chainError) explainMetadata(failure func(error, string,
	...any) *fault.Error) *fault.Error {
	_, network := errors.AsType[net.Error](e.err)
	timedOut := errors.Is(e.err, context.DeadlineExceeded)
	interrupted := slices.ContainsFunc(
		[]error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE},
		func(target error) bool { return errors.Is(e.err, target) })
	switch {
	case !network && !timedOut && !interrupted:
		return failure(fault.Unauthenticated, "%s", e.noCredentials())
	case interrupted || e.chain.fromCaller || e.chain.metadataAnswered.Load():
		return failure(fault.Unavailable, "%s does not answer", metadataSource)
	}
	return failure(fault.Unauthenticated, "%s", e.noCredentials()).MaybeOutage().Permanently()
}

// failedSource returns the source whose request failed. A chain can use several,
// for example for a role that is assumed with the credentials of an instance.
func failedSource(err error) (source string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return source
		}
		switch service := op.Service(); service {
		case "ec2imds":
			source = metadataSource
		case "STS":
			source = stsSource
		case "SSO", "SSO OIDC":
			source = ssoSource
		case "Signin":
			source = signInSource
		default:
			source = "AWS " + service
		}
		err = op.Err
	}
}

// isAWSService reports whether a source is a service of AWS and not a local agent.
func isAWSService(source string) bool {
	return source == stsSource || source == ssoSource || source == signInSource
}

// hint returns how to fix a refusal by a source.
func hint(source string) string {
	switch source {
	case containerSource:
		return "check AWS_CONTAINER_AUTHORIZATION_TOKEN, " +
			"or the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"
	case ssoSource:
		return "run \"aws sso login\" as the user of this process"
	case signInSource:
		return "run \"aws login\" as the user of this process"
	}
	return "check the role, its trust policy and the token or key that requests it"
}

// noCredentials is the text for a chain that found no credentials. It lists the
// places that were searched.
func (e *chainError) noCredentials() string {
	if e.chain.fromCaller {
		return "the credentials of the given aws.Config cannot be retrieved"
	}
	return "no AWS credentials found; looked at " + searchedPlaces() +
		"; Go programs do not see Java system properties (-Daws.accessKeyId)"
}

// searchedPlaces lists the places of the default credential chain and their state,
// without any value.
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
	set("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_PROFILE")
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
	// Opening a named pipe would block until it has a writer.
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
