package secretref_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// Each mark of a response of AWS is sufficient: some emulators and VPC endpoints omit the
// others.
func TestAWSErrors_marks(t *testing.T) {
	const js = "application/x-amz-json-1.1"
	id := map[string]string{"X-Amzn-Requestid": "5b2a"}
	header := func(code string) map[string]string {
		return map[string]string{"X-Amzn-Requestid": "5b2a", "X-Amzn-Errortype": code}
	}
	for name, c := range map[string]struct {
		answer awsAnswer
		want   error
	}{
		"type": {awsAnswer{400, js, id, `{"__type":"ResourceNotFoundException"}`},
			secretref.ErrNotFound},
		"without a request ID": {awsAnswer{400, js, nil, `{"__type":"AccessDeniedException"}`},
			secretref.ErrDenied},
		"with a namespace": {awsAnswer{400, js, nil,
			`{"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException"}`}, secretref.ErrNotFound},
		"404 of an emulator": {awsAnswer{404, "text/html", nil,
			`{"__type":"ResourceNotFoundException"}`}, secretref.ErrNotFound},
		"header": {awsAnswer{400, js, header("AccessDeniedException"),
			`{"Message":"no"}`}, secretref.ErrDenied},
		"header with an address": {awsAnswer{400, js,
			header("ResourceNotFoundException:http://internal.amazon.com/"), `{}`}, secretref.ErrNotFound},
		"a VPC endpoint's policy": {awsAnswer{400, js, id,
			`{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/u is not authorized to perform: secretsmanager:GetSecretValue because no VPC endpoint policy allows the action"}`},
			secretref.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := awsFake(t)
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { c.answer.write(w); return true })
			r, _ := awsResolver(t, secretref.Options{})
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestAWSErrors_codes(t *testing.T) {
	for code, want := range map[string]error{
		"NotAuthorized": secretref.ErrDenied, "ValidationError": secretref.ErrSyntax,
		"RequestAbortedException": secretref.ErrUnavailable,
		"AccessDeniedException":   secretref.ErrDenied, "EncryptionFailure": secretref.ErrDenied,
		"DecryptionFailure":              secretref.ErrDenied,
		"ExpiredTokenException":          secretref.ErrUnauthenticated,
		"IncompleteSignature":            secretref.ErrUnauthenticated,
		"InvalidClientTokenId":           secretref.ErrUnauthenticated,
		"UnrecognizedClientException":    secretref.ErrUnauthenticated,
		"MissingAuthenticationToken":     secretref.ErrUnauthenticated,
		"RequestExpired":                 secretref.ErrUnauthenticated,
		"InternalFailure":                secretref.ErrUnavailable,
		"InternalServiceFailure":         secretref.ErrUnavailable,
		"InternalServiceError":           secretref.ErrUnavailable,
		"ServiceUnavailable":             secretref.ErrUnavailable,
		"RequestTimeoutException":        secretref.ErrUnavailable,
		"ThrottlingException":            secretref.ErrUnavailable,
		"LimitExceededException":         secretref.ErrUnavailable,
		"UnknownOperationException":      secretref.ErrUnsupported,
		"InvalidAction":                  secretref.ErrUnsupported,
		"RequestEntityTooLargeException": secretref.ErrSyntax,
		"InvalidParameterException":      secretref.ErrSyntax, "MissingParameter": secretref.ErrSyntax,
		"InvalidParameterCombination": secretref.ErrSyntax,
		"ResourceNotFoundException":   secretref.ErrNotFound,
	} {
		t.Run(code, func(t *testing.T) {
			s := awsFake(t)
			s.Fail(99, 400, code, nil)
			opts := secretref.Options{}
			if want == secretref.ErrUnavailable { // attempts are repeated until then
				opts.Timeout = 100 * time.Millisecond
			}
			r, _ := awsResolver(t, opts)
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, want)
		})
	}
}
