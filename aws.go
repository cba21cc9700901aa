package secretref

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed74218947/secretref/internal/ref"
)

// An AWSReference names a secret in AWS Secrets Manager. The version AWSCURRENT is
// read. The credentials need secretsmanager:GetSecretValue on the secret, and
// kms:Decrypt on its key if that is a customer managed key.
type AWSReference struct {
	// Region is the region of the secret, for example "eu-west-1". Required; the
	// region of the environment or profile is not used.
	Region string

	// SecretID is the secret's name or ARN. Required.
	SecretID string

	// SecretPointer is the location of the value inside a secret that is a JSON
	// document. If empty, the whole secret is the value, byte for byte.
	SecretPointer Pointer

	// EndpointOverride is the URL to use instead of the region's own endpoint. If
	// empty, the region's endpoint is used, unless the environment or the profile set
	// another as documented by the AWS SDK (AWS_ENDPOINT_URL_SECRETS_MANAGER).
	EndpointOverride string
}

// String returns the canonical form, which [Parse] accepts.
func (a AWSReference) String() string { return a.toRef().String() }

func (AWSReference) reference() {}

func (a AWSReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.AWS, Region: a.Region, SecretID: a.SecretID,
		Pointer: string(a.SecretPointer), EndpointOverride: a.EndpointOverride}
}

// AWSOptions configure access to AWS Secrets Manager. The zero value uses the SDK's
// default credential chain: environment, web identity, shared files, container, EC2
// instance metadata (version 2 only).
type AWSOptions struct {
	// Config is the AWS configuration. Its Region is ignored, since every reference
	// has its own, and so is its Retryer, since the Resolver retries. Its HTTPClient,
	// if any, sends the requests with its own proxy and redirects; the Resolver limits
	// the size of answers.
	//
	// If nil, the configuration is loaded when the first AWS reference is resolved,
	// and again when AWS refuses the credentials. If there are others then (a rotated
	// key in a file, a renewed role), the call is repeated once with them, and no
	// caller gets an error. If the new credentials are refused as well, the next
	// attempt to replace them is made 5 seconds later.
	//
	// If a source of credentials does not answer (credential_process, the container's
	// endpoint, STS, IAM Identity Center), the error is ErrUnavailable. If the only
	// possible source is the instance metadata service and it cannot be reached, the
	// machine may not be an EC2 instance: the error is both ErrUnauthenticated and
	// ErrUnavailable. A credential_process may run for 20 seconds.
	Config *aws.Config

	// Batch fetches up to 20 secrets of a region with one BatchGetSecretValue call.
	// No call waits for more secrets: it takes those that are queued when it goes
	// out, which are all secrets of one ResolveAll or ResolveConfig. A lone secret is
	// fetched with GetSecretValue. Batch needs the permission
	// secretsmanager:BatchGetSecretValue in addition to GetSecretValue on each
	// secret. If batches are denied, secrets are fetched singly for 5 minutes, with a
	// warning; if batches are throttled, for 5 seconds. If false, each secret is
	// fetched singly.
	Batch bool
}

// String lists the options that are set, without credentials.
func (a AWSOptions) String() string {
	return fmt.Sprintf("{Config:%s Batch:%t}", presence(a.Config != nil), a.Batch)
}

// Format writes String for every verb. For unsuitable verbs fmt would otherwise
// follow the pointer to Config and print its credentials.
func (a AWSOptions) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, a.String()) }

// presence is printed instead of an option that may hold credentials.
func presence(set bool) string {
	if set {
		return "(set)"
	}
	return "(not set)"
}
