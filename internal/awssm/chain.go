package awssm

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/transport"
)

// The givers of credentials, as messages call them.
const (
	metadataGiver  = "the EC2 instance metadata service"
	containerGiver = "the container's credentials endpoint"
	stsGiver       = "AWS STS"
	ssoGiver       = "AWS IAM Identity Center"
)

// chain is the credential chain: its credentials are fetched once for
// everyone, and its errors are marked as such.
type chain struct {
	cache     *aws.CredentialsCache
	giver     string // empty: none that is asked over the network
	tokenFile string // of the web identity, if that is how
	given     bool   // by the caller, so that environment and files do not matter
}

func newChain(loaded aws.Config, given bool) *chain {
	p, c := loaded.Credentials, &chain{given: given}
	if aws.IsCredentialsProvider(p, (*stscreds.WebIdentityRoleProvider)(nil)) {
		c.tokenFile = tokenFile(loaded.ConfigSources)
	}
	for _, known := range []struct {
		provider aws.CredentialsProvider
		giver    string
	}{
		{(*ec2rolecreds.Provider)(nil), metadataGiver},
		{(*endpointcreds.Provider)(nil), containerGiver},
		{(*stscreds.WebIdentityRoleProvider)(nil), stsGiver},
		{(*stscreds.AssumeRoleProvider)(nil), stsGiver},
		{(*ssocreds.Provider)(nil), ssoGiver},
	} {
		if aws.IsCredentialsProvider(p, known.provider) {
			c.giver = known.giver
		}
	}
	var cached bool
	if c.cache, cached = p.(*aws.CredentialsCache); !cached {
		c.cache = aws.NewCredentialsCache(p)
	}
	return c
}

// tokenFile returns the path of the web identity token, if the environment or
// the profile names one.
func tokenFile(sources []any) (path string) {
	for _, source := range sources {
		switch source := source.(type) {
		case config.EnvConfig:
			path = cmp.Or(path, source.WebIdentityTokenFilePath)
		case config.SharedConfig:
			path = cmp.Or(path, source.WebIdentityTokenFile)
		}
	}
	return path
}

// Retrieve implements aws.CredentialsProvider.
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.cache.Retrieve(ctx)
	if err != nil {
		return found, &chainError{c, err}
	}
	return found, nil
}

type chainError struct {
	chain *chain
	err   error
}

func (e *chainError) Error() string { return "no AWS credentials" }
func (e *chainError) Unwrap() error { return e.err }

// explain tells a chain that found nothing from one that was refused, or that
// could not reach who gives the credentials out.
func (e *chainError) explain() *fault.Error {
	giver := cmp.Or(giverOf(e.err), e.chain.giver)
	status, header := httpAnswer(e.err)
	code := ""
	if api, ok := errors.AsType[smithy.APIError](e.err); ok && documented(api.ErrorCode()) {
		code = api.ErrorCode()
	}
	because := func(kind error, format string, args ...any) *fault.Error {
		f := fault.New(kind, format, args...).Because(kept(e.err))
		f.RetryAfter = transport.RetryAfter(header)
		return f
	}
	if e.chain.tokenFile != "" && !readable(e.chain.tokenFile) {
		return because(fault.Unauthenticated, "cannot read the web identity token %s, which AWS_WEB_IDENTITY_TOKEN_FILE or the profile names", fault.Path(e.chain.tokenFile))
	}
	if _, ok := errors.AsType[*ssocreds.InvalidTokenError](e.err); ok || giver == ssoGiver && noFile(e.err) {
		return because(fault.Unauthenticated, "there is no session of %s, or it has ended: %s", ssoGiver, mend(ssoGiver))
	}
	if _, ok := errors.AsType[*processcreds.ProviderError](e.err); ok {
		return because(fault.Unauthenticated, "the credential_process of the AWS profile failed: run it by hand as the user of this process")
	}
	if path, ok := errors.AsType[*fs.PathError](e.err); ok {
		return because(fault.Unauthenticated, "cannot read %s, where the AWS credentials should come from", fault.Path(path.Path))
	}
	switch {
	case errors.Is(e.err, context.Canceled):
		return because(fault.Unavailable, "the request for credentials was given up")
	case passes(status) || throttled(code) || code == "IDPCommunicationError":
		return because(fault.Unavailable, "%s, which gives out the credentials, cannot at the moment (%s)", cmp.Or(giver, "who"), said(code, status))
	case giver == metadataGiver && status == http.StatusNotFound:
		return because(fault.Unauthenticated, "no role is attached to the EC2 instance, and %s", e.nothing())
	case giver == metadataGiver || giver == "":
		return because(fault.Unauthenticated, "%s", e.nothing())
	case code != "" || status >= 400:
		return because(fault.Unauthenticated, "%s refuses to give out credentials (%s): %s", giver, said(code, status), mend(giver))
	}
	return because(fault.Unavailable, "%s, which gives out the credentials, does not answer", giver)
}

// giverOf returns who failed where a chain goes through several, as a role
// assumed with an instance's credentials does.
func giverOf(err error) (giver string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return giver
		}
		switch service := op.Service(); service {
		case "ec2imds":
			giver = metadataGiver
		case "STS":
			giver = stsGiver
		case "SSO", "SSO OIDC":
			giver = ssoGiver
		default:
			giver = "AWS " + service
		}
		err = op.Err
	}
}

func noFile(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}

func mend(giver string) string {
	switch giver {
	case containerGiver:
		return "check AWS_CONTAINER_AUTHORIZATION_TOKEN, or the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"
	case ssoGiver:
		return "run \"aws sso login\" as the user of this process"
	}
	return "check the role, its trust policy and the token or key that asks for it"
}

// nothing says that there are no credentials, and where they could have been.
func (e *chainError) nothing() string {
	if e.chain.given {
		return "the credentials of the given aws.Config cannot be retrieved"
	}
	return "no AWS credentials found; looked at " + looked() +
		"; Java system properties (-Daws.accessKeyId) are not seen by Go programs"
}

// looked lists the places of the default credential chain and what stands
// there, without any value.
func looked() string {
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
		if !readable(path) {
			state = "cannot be read"
		}
		b.WriteString("the file " + path + " (" + state + "), ")
	}
	set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
	b.WriteString(metadataGiver + ", version 2")
	if strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		b.WriteString(" (switched off by AWS_EC2_METADATA_DISABLED)")
	}
	return b.String()
}

func readable(path string) bool {
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
