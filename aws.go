package secretref

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed74218947/secretref/internal/ref"
)

// An AWSReference names a secret in AWS Secrets Manager. Its version AWSCURRENT
// is read; the credentials need secretsmanager:GetSecretValue on the secret,
// and kms:Decrypt on its key if that is a customer's own.
type AWSReference struct {
	// Region is the region of the secret, for example "eu-west-1". Required; the
	// region of the environment or profile is not used.
	Region string

	// SecretID is the secret's name or ARN. Required.
	SecretID string

	// SecretPointer leads to the value inside a secret that is a JSON document.
	// Empty: the whole secret is the value, byte for byte.
	SecretPointer Pointer

	// EndpointOverride is the URL to ask instead of the region's own endpoint.
	// Empty: the region's, unless environment or profile move it as the AWS SDK
	// documents (AWS_ENDPOINT_URL_SECRETS_MANAGER).
	EndpointOverride string
}

// String returns the canonical form, which [Parse] takes back.
func (r AWSReference) String() string { return r.toRef().String() }

func (AWSReference) reference() {}

func (r AWSReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.AWS, Region: r.Region, SecretID: r.SecretID,
		Pointer: string(r.SecretPointer), EndpointOverride: r.EndpointOverride}
}

// AWSOptions say how AWS Secrets Manager is reached. The zero value is the
// SDK's default chain: environment, web identity, shared files, container,
// EC2 instance metadata (version 2 only).
type AWSOptions struct {
	// Config is used instead of loading one. Its Region is ignored, since every
	// reference names its own, and so is its Retryer: the Resolver retries. An
	// HTTPClient of your own sends the requests, with its own proxy and
	// redirects; the Resolver bounds the answers. Nil: loaded when the first AWS
	// reference is resolved, and again when its credentials are refused: if others
	// are found then (a rotated key in a file, a renewed role), the call is
	// repeated with them once, and no caller gets an error. If the new credentials
	// are refused as well, the next attempt to replace them is made 5 seconds
	// later.
	//
	// A source of credentials that does not answer (credential_process, the
	// container's endpoint, STS, IAM Identity Center) is ErrUnavailable. Where only
	// the instance metadata service is left and cannot be reached, this may be
	// no EC2 instance: the error is ErrUnauthenticated and ErrUnavailable. A
	// credential_process may run for 20 seconds.
	Config *aws.Config

	// Batch fetches up to 20 secrets of a region with one BatchGetSecretValue
	// call. What is asked for with one ResolveAll or ResolveConfig goes out at
	// once; what is asked for alone waits 1 to 3 milliseconds for others to come
	// along. It needs the permission secretsmanager:BatchGetSecretValue beside
	// GetSecretValue on each secret. Where that is denied, secrets are fetched
	// one by one, with a warning, and batches are tried again after 5 minutes;
	// where batches are throttled, after 5 seconds.
	// False: one call a secret.
	Batch bool
}

// String says what is set, without credentials.
func (o AWSOptions) String() string {
	return fmt.Sprintf("{Config:%s Batch:%t}", presence(o.Config != nil), o.Batch)
}

// Format writes String for every verb: fmt follows a pointer, to the credentials
// in Config, for those that make no sense for one.
func (o AWSOptions) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.String()) }

// presence is what is printed of an option that may hold credentials.
func presence(set bool) string {
	if set {
		return "(set)"
	}
	return "(not set)"
}
