package fakeaws

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// role is an IAM role that can be assumed.
type role struct {
	arn      string
	webToken string // empty: not with a web identity
}

// name is the last part of the role's ARN, without its path.
func (r role) name() string { return r.arn[strings.LastIndexByte(r.arn, '/')+1:] }

// AddRole adds a role that any valid key can assume. If a token is given, the role can also be
// assumed with exactly that web identity token. If the token is a JWT, its exp is checked.
// Adding the role again replaces its token.
func (s *Server) AddRole(arn, webIdentityToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[arn] = role{arn, webIdentityToken}
}

func (s *Server) role(arn string) (role, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.roles[arn]
	return r, ok && !s.isDenied("sts:AssumeRole", arn)
}

// serveSTS serves the query protocol: the input is a form, the output XML.
func (s *Server) serveSTS(w http.ResponseWriter, r *http.Request) {
	requestID := s.begin(w)
	body, fault := readBody(w, r)
	form, err := url.ParseQuery(string(body))
	if err != nil && fault == nil {
		fault = stsError(http.StatusBadRequest, "MalformedQueryString", "The body is not a form.")
	}
	auth, _, _ := parseAuthorization(r)
	s.record(Request{Service: "sts", Action: form.Get("Action"), Region: auth.region,
		AccessKeyID: auth.accessKeyID})

	if f, ok := s.nextFailure("sts"); ok {
		maps.Copy(w.Header(), f.header)
		writeXMLError(w, requestID, f.err)
		return
	}
	var result any
	if fault == nil {
		result, fault = s.callSTS(r, body, form)
	}
	if fault != nil {
		writeXMLError(w, requestID, fault)
		return
	}
	writeXML(w, http.StatusOK, stsResponse{
		XMLName:  xml.Name{Local: form.Get("Action") + "Response"},
		Space:    stsNamespace,
		Result:   result,
		Metadata: stsMetadata{requestID},
	})
}

func (s *Server) callSTS(r *http.Request, body []byte, form url.Values) (any, *apiError) {
	action := form.Get("Action")
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || action == "":
		return nil, stsError(http.StatusBadRequest, "MissingAction",
			"fakeaws takes a form with an Action, posted to the root.")
	case form.Get("Version") != "2011-06-15":
		return nil, stsError(http.StatusBadRequest, "InvalidAction",
			"Could not find operation "+action+" for version "+form.Get("Version"))
	case action == "AssumeRoleWithWebIdentity":
		// This operation is not signed. The token authenticates it.
		return s.assumeRoleWithWebIdentity(form)
	case action != "GetCallerIdentity" && action != "AssumeRole":
		return nil, stsError(http.StatusBadRequest, "InvalidAction",
			"Could not find operation "+action+" for version 2011-06-15")
	}
	c, auth, fault := s.verify(r, body, "sts")
	if fault != nil {
		return nil, asSTS(fault)
	}
	if action == "GetCallerIdentity" {
		return callerIdentity{
			XMLName: xml.Name{Local: "GetCallerIdentityResult"}, Arn: c.arn, UserID: c.userID,
			Account: Account,
		}, nil
	}
	return s.assumeRole(caller{c, auth.region}, form)
}

func (s *Server) assumeRole(who caller, form url.Values) (any, *apiError) {
	in, fault := parseAssume(form)
	if fault != nil {
		return nil, fault
	}
	granted, ok := s.role(in.arn)
	if !ok {
		return nil, stsError(http.StatusForbidden, "AccessDenied",
			"User: "+who.arn+" is not authorized to perform: sts:AssumeRole on resource: "+in.arn)
	}
	c := s.issue(granted.name(), in.session, in.duration)
	return newAssumed("AssumeRoleResult", c), nil
}

func (s *Server) assumeRoleWithWebIdentity(form url.Values) (any, *apiError) {
	in, fault := parseAssume(form)
	if fault != nil {
		return nil, fault
	}
	token := form.Get("WebIdentityToken")
	if token == "" {
		return nil, stsError(http.StatusBadRequest, "ValidationError",
			"1 validation error detected: Value null at 'webIdentityToken' failed to satisfy constraint: Member must not be null")
	}
	granted, ok := s.role(in.arn)
	if !ok || granted.webToken == "" {
		return nil, stsError(http.StatusForbidden, "AccessDenied",
			"Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	if subtle.ConstantTimeCompare([]byte(granted.webToken), []byte(token)) != 1 {
		return nil, stsError(http.StatusBadRequest, "InvalidIdentityToken",
			"Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
	}
	claims := readClaims(token)
	if now := s.clock(); claims.Expires != 0 && now.Unix() >= claims.Expires {
		return nil, stsError(http.StatusBadRequest, "ExpiredTokenException",
			"Token expired: current date/time "+
				strconv.FormatInt(now.Unix(), 10)+" must be before the expiration date/time "+
				strconv.FormatInt(claims.Expires, 10))
	}
	out := newAssumed("AssumeRoleWithWebIdentityResult",
		s.issue(granted.name(), in.session, in.duration))
	out.Subject, out.Provider = claims.Subject, claims.Issuer
	return out, nil
}

// claims are the relevant claims of a JSON web token. Its signature is not checked, since the
// whole token is compared.
type claims struct {
	Subject string `json:"sub"`
	Issuer  string `json:"iss"`
	Expires int64  `json:"exp"`
}

// readClaims returns zero claims for a token that is not a JWT.
func readClaims(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// assumeInput is the common input of the operations that assume a role.
type assumeInput struct {
	arn, session string
	duration     time.Duration // zero if not requested
}

func parseAssume(form url.Values) (in assumeInput, fault *apiError) {
	invalid := func(value, member, rule string) (assumeInput, *apiError) {
		return assumeInput{}, stsError(http.StatusBadRequest, "ValidationError",
			"1 validation error detected: Value '"+value+"' at '"+member+
				"' failed to satisfy constraint: "+rule)
	}
	in.arn, in.session = form.Get("RoleArn"), form.Get("RoleSessionName")
	if len(in.arn) < 20 {
		return invalid(in.arn, "roleArn", "Member must have length greater than or equal to 20")
	}
	if !strings.HasPrefix(in.arn, "arn:") {
		return assumeInput{}, stsError(http.StatusBadRequest, "ValidationError", in.arn+" is invalid")
	}
	if n := len(in.session); n < 2 || n > 64 || strings.ContainsFunc(in.session, func(c rune) bool {
		return !strings.ContainsRune(base62+"_+=,.@-", c)
	}) {
		return invalid(in.session, "roleSessionName",
			`Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	if asked := form.Get("DurationSeconds"); asked != "" {
		seconds, err := strconv.Atoi(asked)
		if err != nil || seconds < 900 || seconds > 43200 {
			return invalid(asked, "durationSeconds", "Member must have value between 900 and 43200")
		}
		in.duration = time.Duration(seconds) * time.Second
	}
	return in, nil
}

// asSTS translates an error of the signature check: the query protocol has other codes for the
// same errors, and status 403.
func asSTS(fault *apiError) *apiError {
	out := *fault
	out.status = http.StatusForbidden
	switch fault.code {
	case "MissingAuthenticationTokenException":
		out.code, out.message = "MissingAuthenticationToken", "Request is missing Authentication Token"
	case "UnrecognizedClientException":
		out.code = "InvalidClientTokenId"
	case "InvalidSignatureException":
		out.code = "SignatureDoesNotMatch"
	case "ExpiredTokenException":
		out.code = "ExpiredToken"
	case "IncompleteSignatureException":
		out.code, out.status = "IncompleteSignature", http.StatusBadRequest
	}
	return &out
}

func stsError(status int, code, message string) *apiError {
	return &apiError{status: status, code: code, message: message}
}

// stsResponse declares its namespace as an attribute: with a namespace in XMLName, encoding/xml
// would reset it in the elements inside.
type stsResponse struct {
	XMLName  xml.Name
	Space    string `xml:"xmlns,attr"`
	Result   any
	Metadata stsMetadata `xml:"ResponseMetadata"`
}

type stsMetadata struct {
	RequestID string `xml:"RequestId"`
}

type callerIdentity struct {
	XMLName xml.Name
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

type assumed struct {
	XMLName     xml.Name
	Subject     string `xml:"SubjectFromWebIdentityToken,omitempty"`
	Provider    string `xml:",omitempty"`
	User        assumedUser
	Credentials stsCredentials
}

type assumedUser struct {
	XMLName xml.Name `xml:"AssumedRoleUser"`
	Arn     string
	ID      string `xml:"AssumedRoleId"`
}

type stsCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

func newAssumed(element string, c credential) *assumed {
	return &assumed{
		XMLName:     xml.Name{Local: element},
		User:        assumedUser{Arn: c.arn, ID: c.userID},
		Credentials: stsCredentials{c.id, c.secret, c.token, c.expires.Format(time.RFC3339)},
	}
}

type stsFailure struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func writeXMLError(w http.ResponseWriter, requestID string, e *apiError) {
	if e.code == "" {
		w.WriteHeader(e.status)
		return
	}
	blame := "Sender"
	if e.status >= http.StatusInternalServerError {
		blame = "Receiver"
	}
	writeXML(w, e.status,
		stsFailure{Type: blame, Code: e.code, Message: e.message, RequestID: requestID})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	body, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("fakeaws: an answer of STS does not marshal")
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
