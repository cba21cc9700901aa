package awssm

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// notAWSError is the error for an answer that does not have the form of AWS
// Secrets Manager: the page of a proxy, a login or a gateway. Such an answer says
// nothing about the secret, so its kind is never Denied or NotFound.
type notAWSError struct {
	status int
	header http.Header
}

func (e *notAWSError) Error() string { return "the answer is not from AWS Secrets Manager" }

// explain returns the error for the user. It is permanent unless the status is
// transient.
func (e *notAWSError) explain(host string) *fault.Error {
	unexpected := func(hint string) *fault.Error {
		return fault.New(fault.Unavailable, "%s answered with status %d, but not as AWS does: "+
			"is it AWS Secrets Manager?%s", host, e.status, hint).Permanently()
	}
	switch {
	case e.status < 300:
		return fault.New(fault.Unavailable, "the answer of %s is not that of AWS Secrets Manager",
			host).Permanently()
	case isTransient(e.status), e.status == http.StatusRequestTimeout,
		e.status == http.StatusTooEarly:
		return fault.New(fault.Unavailable, "%s answered with status %d", host, e.status)
	case e.status == http.StatusProxyAuthRequired:
		return unexpected(" A proxy requires credentials: check HTTPS_PROXY and NO_PROXY")
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		return unexpected(" Or does a proxy, a gateway or a firewall refuse the call?")
	}
	return unexpected("")
}

// requireAWS returns resp if it may be decoded, and a *notAWSError otherwise. host
// is the host of the request before redirects.
func requireAWS(resp *http.Response, host string) (*http.Response, error) {
	if resp.StatusCode == http.StatusOK {
		return resp, nil // its body has been checked already
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	code := errorCode(resp.Header, body)
	foreign := resp.Request != nil && resp.Request.URL.Host != host && !isSignatureError(code)
	if code == "" || foreign || resp.StatusCode < 400 {
		return nil, &notAWSError{resp.StatusCode, resp.Header}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// errorCode returns the error code of an answer in the JSON 1.1 protocol, or "" if
// the answer is not from Secrets Manager. Amazon API Gateway also sends the header
// and request IDs, but never a type in the body or the protocol's content type.
func errorCode(header http.Header, body []byte) string {
	numbered := header.Get("X-Amzn-Requestid") != ""
	var members map[string]json.RawMessage // exact names: encoding/json folds those of a struct
	object := json.Unmarshal(body, &members) == nil && members != nil
	var written string
	if object && json.Unmarshal(members["__type"], &written) == nil {
		if code := bareCode(written); code != "" && (numbered || isKnownCode(code)) {
			return code
		}
	}
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	code := bareCode(header.Get("X-Amzn-Errortype"))
	if numbered && isKnownCode(code) && (object || len(body) == 0) &&
		media != "application/json" && media != "text/html" {
		return code
	}
	return ""
}

// bareCode strips the namespace and the URL from an error code.
func bareCode(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if _, bare, spaced := strings.Cut(code, "#"); spaced {
		code = bare
	}
	return strings.TrimSpace(code)
}
