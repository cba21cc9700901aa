package awssm

import (
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

// resolveEndpoint returns the endpoint of a client. It may be set by the
// environment or the profile, so it is checked like the endpoint of a reference.
func resolveEndpoint(ctx context.Context, o *secretsmanager.Options) (fixedEndpoint, error) {
	found, err := o.EndpointResolverV2.ResolveEndpoint(ctx, secretsmanager.EndpointParameters{
		Region: &o.Region,
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint ==
			aws.DualStackEndpointStateEnabled),
		UseFIPS:  aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		Endpoint: o.BaseEndpoint,
	})
	switch {
	case err != nil && o.BaseEndpoint == nil:
		return fixedEndpoint{},
			fault.New(fault.Syntax, "region %q has no Secrets Manager endpoint", o.Region)
	case err != nil:
		return fixedEndpoint{}, endpointSettingError("is not a URL")
	}
	uri, err := endpoint.Parse(found.URI.String())
	if err != nil {
		return fixedEndpoint{}, endpointSettingError(err.Error())
	}
	found.URI = *uri
	return fixedEndpoint{found}, nil
}

// endpointSettingError is the error about an endpoint that does not come from a
// reference: the endpoints of references are checked when they are parsed.
func endpointSettingError(problem string) error {
	return fault.New(fault.Syntax, "the endpoint that AWS_ENDPOINT_URL_SECRETS_MANAGER, "+
		"AWS_ENDPOINT_URL, the AWS profile or AWSOptions.Config sets %s", problem)
}

// Endpoint returns the endpoint of a reference, ignoring endpoints set by the
// environment or the profile. It does no I/O.
func Endpoint(region, override string) (*url.URL, error) {
	o := &secretsmanager.Options{Region: region,
		EndpointResolverV2: secretsmanager.NewDefaultEndpointResolverV2()}
	if override != "" {
		o.BaseEndpoint = &override
	}
	found, err := resolveEndpoint(context.Background(), o)
	if err != nil {
		return nil, err
	}
	return &found.URI, nil
}
