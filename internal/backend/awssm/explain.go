package awssm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// explain turns an SDK error into one that says what is wrong and how to fix it.
// Messages of the service are matched, but neither repeated nor kept.
func explain(err error, g ref.Target, host string) error {
	if own, ok := errors.AsType[*fault.Error](err); ok {
		return own
	}
	if chain, ok := errors.AsType[*chainError](err); ok {
		return chain.explain()
	}
	f := explainAnswer(err, g, host)
	f.WithCause(sanitizedCause(err))
	_, header := httpResponse(err)
	f.RetryAfter = httpguard.RetryAfter(header)
	return f
}

func explainAnswer(err error, g ref.Target, host string) *fault.Error {
	if odd, ok := errors.AsType[*notAWSError](err); ok {
		return odd.explain(host)
	}
	status, _ := httpResponse(err)
	if api, ok := errors.AsType[smithy.APIError](err); ok && isServiceCode(api.ErrorCode()) {
		if from := respondingHost(err); from != "" && from != host && isSignatureError(api.ErrorCode()) {
			return fault.New(fault.Unauthenticated, "%s redirects to %s, which refuses requests that are "+
				"signed for another host: use %s as endpointOverride", host, from, from)
		}
		return explainCode(api, g, status)
	}
	switch {
	case isTransient(status):
		return fault.New(fault.Unavailable, "%s answered with status %d", host, status)
	case status == http.StatusOK && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled):
		return (&notAWSError{status: status}).explain(host)
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusNotFound:
		return (&notAWSError{status: status}).explain(host)
	case status >= 300:
		return fault.New(fault.Unsupported, "%s answered with status %d: is it AWS Secrets Manager?",
			host, status)
	}
	f := httpguard.Explain(err, host)
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound && g.Endpoint == "" {
		f.Text += fmt.Sprintf(": is the region %q correct?", g.Region)
	}
	return f
}

// isTransient reports whether a status is that of a temporary failure.
func isTransient(status int) bool { return status == http.StatusTooManyRequests || status >= 500 }

// isServiceCode reports whether a code comes from an AWS service. If the service
// sent none, the SDK uses "UnknownError" or a piece of the answer.
func isServiceCode(code string) bool { return safeCode(code) == code && code != "UnknownError" }

// httpResponse returns the status and the header of the answer, or zero values if
// there was none.
func httpResponse(err error) (status int, header http.Header) {
	if odd, ok := errors.AsType[*notAWSError](err); ok {
		return odd.status, odd.header
	}
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if ok && resp.Response != nil && resp.Response.Response != nil {
		return resp.HTTPStatusCode(), resp.Response.Header
	}
	if other, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return other.HTTPStatusCode(), nil
	}
	return 0, nil
}

// respondingHost returns the host that an answer came from, after redirects.
func respondingHost(err error) string {
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || resp.Response == nil || resp.Response.Response == nil ||
		resp.Response.Request == nil {
		return ""
	}
	return resp.Response.Request.URL.Host
}

// sanitizedCause returns the part of an SDK error that an error may keep for
// errors.Is and errors.As: the code, or the [httpguard.SanitizedCause].
func sanitizedCause(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return &smithy.GenericAPIError{Code: safeCode(api.ErrorCode()), Fault: api.ErrorFault()}
	}
	return httpguard.SanitizedCause(err)
}

// explainCode explains an answer with an error code of the service.
func explainCode(api smithy.APIError, g ref.Target, status int) *fault.Error {
	code := api.ErrorCode()
	if f := explainKnownCode(code, api.ErrorMessage(), g); f != nil {
		return f
	}
	switch {
	case isTransient(status):
		return fault.New(fault.Unavailable, "AWS Secrets Manager answered with status %d (%s)",
			status, code)
	case status == http.StatusUnauthorized:
		return fault.New(fault.Unauthenticated, "AWS Secrets Manager answered with status 401 (%s)",
			code)
	case status == http.StatusForbidden:
		return fault.New(fault.Denied, "AWS Secrets Manager answered with status 403 (%s): "+
			"needs secretsmanager:GetSecretValue on secret %q", code, g.Secret)
	}
	return fault.New(fault.Unsupported, "AWS Secrets Manager answered with status %d (%s), "+
		"which is not documented for GetSecretValue", status, code)
}

// isKnownCode reports whether AWS documents a code for Secrets Manager or for all
// services.
func isKnownCode(code string) bool {
	switch code {
	case "UnknownOperationException", "InvalidAction", "InvalidNextTokenException",
		"MalformedHttpRequestException":
		return true
	}
	return explainKnownCode(code, "", ref.Target{}) != nil
}

// explainKnownCode returns nil for a code that AWS does not document.
func explainKnownCode(code, message string, g ref.Target) *fault.Error {
	switch {
	case isThrottling(code):
		return fault.New(fault.Unavailable, "AWS throttles the calls")
	case isSignatureError(code):
		return fault.New(fault.Unauthenticated, "AWS refuses the signature: the secret access key is "+
			"wrong, or this machine's clock is off by more than 5 minutes")
	case isKMSError(code, message):
		return kmsDeniedError(g)
	}
	switch code {
	case "ResourceNotFoundException":
		if strings.Contains(message, "AWSCURRENT") {
			return fault.New(fault.NotFound,
				"secret %q in region %q has no value: no version of it is AWSCURRENT",
				g.Secret, g.Region)
		}
		return fault.New(fault.NotFound, "no secret %q in region %q of this account%s",
			g.Secret, g.Region, otherRegionHint(g))
	case "InvalidRequestException":
		if strings.Contains(message, "deletion") || strings.Contains(message, "deleted") {
			return fault.New(fault.NotFound, "secret %q in region %q is marked for deletion: restore it "+
				"with \"aws secretsmanager restore-secret\", or use another secret", g.Secret, g.Region)
		}
		return fault.New(fault.Unsupported, "AWS refuses to read secret %q in its present state",
			g.Secret)
	case "InvalidParameterException", "ValidationException", "ValidationError",
		"InvalidParameterValue", "InvalidParameterCombination", "MissingParameter",
		"SerializationException", "RequestEntityTooLargeException":
		return fault.New(fault.Syntax, "AWS does not accept %q as secretId%s",
			g.Secret, otherRegionHint(g))
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized":
		return deniedError(g, message)
	case "ExpiredTokenException", "ExpiredToken":
		return fault.New(fault.Unauthenticated,
			"the AWS session token has expired: renew the credentials")
	case "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationTokenException",
		"MissingAuthenticationToken", "AuthFailure", "OptInRequired":
		return fault.New(fault.Unauthenticated, "AWS does not recognize these credentials: check "+
			"AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, or the credentials' other source, "+
			"and that the region %q is enabled for the account", g.Region)
	case "InternalServiceError", "InternalServiceErrorException", "InternalServiceFailure",
		"InternalFailure", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException":
		return fault.New(fault.Unavailable, "AWS Secrets Manager reports an internal error")
	case "RequestAbortedException":
		return fault.New(fault.Unavailable, "AWS Secrets Manager reports that the request was cut off")
	}
	return nil
}

func isThrottling(code string) bool {
	switch code {
	case "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException",
		"RequestLimitExceeded", "SlowDown", "RequestThrottled", "RequestThrottledException",
		"LimitExceededException", "EC2ThrottledException", "BandwidthLimitExceeded",
		"ProvisionedThroughputExceededException", "PriorRequestNotComplete", "RequestTimeout",
		"RequestTimeoutException":
		return true
	}
	return false
}

func isSignatureError(code string) bool {
	switch code {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
		"RequestExpired", "RequestInTheFuture", "IncompleteSignature", "IncompleteSignatureException":
		return true
	}
	return false
}

// isKMSError distinguishes a missing permission on a secret's key from one on the
// secret.
// The message also names the secret, which may itself be called after a key.
func isKMSError(code, message string) bool {
	switch code {
	case "DecryptionFailure", "EncryptionFailure", "KMSAccessDeniedException",
		"KMSInvalidStateException", "KMSNotFoundException", "KMSDisabledException":
		return true
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
		return strings.Contains(message, "Access to KMS") || strings.Contains(message, "perform: kms:")
	}
	return false
}

func deniedError(g ref.Target, message string) *fault.Error {
	explicit := ""
	if strings.Contains(message, "explicit deny") {
		explicit = "; a policy denies it explicitly, which overrides any permission"
	}
	return fault.New(fault.Denied, "needs secretsmanager:GetSecretValue on secret %q in region %q; "+
		"the resource of an IAM policy ends in %q, for example %q%s%s", g.Secret, g.Region, suffixPattern,
		policyResource(g), explicit, otherRegionHint(g))
}

func kmsDeniedError(g ref.Target) *fault.Error {
	return fault.New(fault.Denied, "needs kms:Decrypt on the KMS key of secret %q in region %q, "+
		"and the key must be enabled", g.Secret, g.Region)
}

// otherRegionHint points out an ARN whose region differs from the reference's.
func otherRegionHint(g ref.Target) string {
	a, err := arn.Parse(g.Secret)
	if err != nil || a.Region == g.Region {
		return ""
	}
	return fmt.Sprintf("; the ARN is of region %q, the reference says %q", a.Region, g.Region)
}

// policyResource returns the narrowest resource that an IAM policy can name for
// the secret.
func policyResource(g ref.Target) string {
	if _, err := arn.Parse(g.Secret); err == nil {
		if hasRandomSuffix(g.Secret) {
			return g.Secret
		}
		return g.Secret + suffixPattern
	}
	partition := "aws"
	switch {
	case strings.HasPrefix(g.Region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(g.Region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return "arn:" + partition + ":secretsmanager:" + g.Region + ":*:secret:" + g.Secret + suffixPattern
}

// suffixPattern matches, in a policy, the hyphen and the six random characters
// that AWS appends to a secret's name in its ARN.
const suffixPattern = "-??????"

func hasRandomSuffix(arn string) bool {
	at := len(arn) - len(suffixPattern)
	return at >= 0 && arn[at] == '-' && !strings.ContainsAny(arn[at+1:], "-/_+=.@!:*?")
}

// codeOrStatus returns an error code, or the status if there is none.
func codeOrStatus(code string, status int) string {
	if code == "" {
		return fmt.Sprintf("status %d", status)
	}
	return safeCode(code)
}

// safeCode returns code if it looks like an error code, so that it is safe to
// print.
func safeCode(code string) string {
	unusual := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.'
	}
	if code == "" || len(code) > 64 || code[0] < 'A' || code[0] > 'Z' ||
		strings.ContainsFunc(code, unusual) {
		return "unknown code"
	}
	return code
}
