package fakeaws

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	terminator  = "aws4_request"
	isoBasic    = "20060102T150405Z"
	allowedSkew = 5 * time.Minute
)

// authorization is the parsed Authorization header of Signature Version 4.
type authorization struct {
	accessKeyID, date, region, service string
	scope                              string // date/region/service/aws4_request
	signedHeaders                      []string
	signature                          string
}

// verify authenticates a signed request for a service. The order of the checks
// is that of AWS: form, date, scope, key, signature, session token.
func (s *Server) verify(r *http.Request, body []byte, service string) (credential, authorization,
	*apiError) {
	auth, date, fault := parseAuthorization(r)
	if fault != nil {
		return credential{}, auth, fault
	}
	now := s.clock().UTC()
	if fault := checkDate(date, now); fault != nil {
		return credential{}, auth, fault
	}
	if fault := auth.check(r, date, service); fault != nil {
		return credential{}, auth, fault
	}
	c, ok := s.key(auth.accessKeyID)
	if !ok {
		return credential{}, auth, unrecognizedClient()
	}
	want, ok := sign(r, body, auth, date, c.secret)
	if !ok || !hmac.Equal([]byte(want), []byte(auth.signature)) {
		return credential{}, auth,
			invalidSignature("The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if fault := c.checkToken(r.Header.Get("X-Amz-Security-Token"), now); fault != nil {
		return credential{}, auth, fault
	}
	return c, auth, nil
}

// parseAuthorization parses the header and the date of the request. If the header is invalid, it
// returns the valid part.
func parseAuthorization(r *http.Request) (auth authorization, date time.Time, fault *apiError) {
	header := r.Header.Get("Authorization")
	if r.URL.Query().Has("X-Amz-Algorithm") {
		if header != "" {
			return auth, date,
				invalidSignature("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
		}
		return auth, date,
			commonError("IncompleteSignatureException",
				"fakeaws takes the signature from the Authorization header only.")
	}
	if !strings.HasPrefix(header, "AWS4-") {
		return auth, date,
			commonError("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	alg, rest, _ := strings.Cut(header, " ")
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	auth.signature = fields["Signature"]
	auth.signedHeaders = strings.Split(fields["SignedHeaders"], ";")
	id, scope, _ := strings.Cut(fields["Credential"], "/")
	auth.accessKeyID, auth.scope = id, scope
	elements := strings.Split(scope, "/")
	if len(elements) == 4 {
		auth.date, auth.region, auth.service = elements[0], elements[1], elements[2]
	}

	var missing strings.Builder
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" {
			missing.WriteString("Authorization header requires '" + name + "' parameter. ")
		}
	}
	stamp := r.Header.Get("X-Amz-Date")
	if stamp == "" {
		stamp = r.Header.Get("Date")
	}
	if stamp == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		return auth, date, commonError("IncompleteSignatureException", missing.String())
	}
	date, err := time.Parse(isoBasic, stamp)
	if err != nil {
		return auth, date,
			commonError("IncompleteSignatureException",
				"Date must be in ISO-8601 'basic format'. Got '"+stamp+"'.")
	}
	if alg != algorithm {
		return auth, date,
			commonError("IncompleteSignatureException", "Unsupported AWS 'algorithm': '"+alg+"'.")
	}
	if len(elements) != 4 {
		return auth, date, commonError("IncompleteSignatureException",
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+fields["Credential"]+"'")
	}
	return auth, date, nil
}

// checkDate refuses a signature that is dated more than five minutes before or after now.
func checkDate(date, now time.Time) *apiError {
	if earliest := now.Add(-allowedSkew); date.Before(earliest.Truncate(time.Second)) {
		return invalidSignature("Signature expired: " + date.Format(isoBasic) + " is now earlier than " +
			earliest.Format(isoBasic) +
			" (" + now.Format(isoBasic) + " - 5 min.)")
	}
	if latest := now.Add(allowedSkew); date.After(latest) {
		return invalidSignature("Signature not yet current: " + date.Format(isoBasic) +
			" is still later than " + latest.Format(isoBasic) +
			" (" + now.Format(isoBasic) + " + 5 min.)")
	}
	return nil
}

// check verifies the credential scope, and that the signature covers the host, the content type
// and every x-amz-* header, so that they cannot be changed in transit.
func (a authorization) check(r *http.Request, date time.Time, service string) *apiError {
	var wrong strings.Builder
	if !validRegion(a.region) {
		wrong.WriteString("Credential should be scoped to a valid region, not '" + a.region + "'. ")
	}
	if a.service != service {
		wrong.WriteString("Credential should be scoped to correct service: '" + service + "'. ")
	}
	if !strings.HasSuffix(a.scope, "/"+terminator) {
		wrong.WriteString("Credential should be scoped with a valid terminator: '" + terminator + "'. ")
	}
	if day := date.Format("20060102"); a.date != day {
		wrong.WriteString("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			a.date + "' != '" + day + "'. ")
	}
	if wrong.Len() > 0 {
		return invalidSignature(strings.TrimSpace(wrong.String()))
	}

	needed := []string{"host"}
	for name := range r.Header {
		name = strings.ToLower(name)
		if name == "content-type" || strings.HasPrefix(name, "x-amz-") {
			needed = append(needed, name)
		}
	}
	slices.Sort(needed)
	for _, name := range needed {
		if !slices.Contains(a.signedHeaders, name) {
			return invalidSignature("'" + name + "' must be a 'SignedHeader' in the AWS Authorization.")
		}
	}
	return nil
}

// sign returns the expected signature of the request, as in "Create a signed AWS API request" of
// the IAM user guide. It reports false for a request that has no canonical form.
func sign(r *http.Request, body []byte, auth authorization, date time.Time,
	secret string) (string, bool) {
	canonical, ok := canonicalRequest(r, body, auth.signedHeaders)
	if !ok {
		return "", false
	}
	digest := sha256.Sum256([]byte(canonical))
	toSign := algorithm + "\n" + date.Format(isoBasic) + "\n" + auth.scope + "\n" +
		hex.EncodeToString(digest[:])

	key := []byte("AWS4" + secret)
	for _, part := range []string{auth.date, auth.region, auth.service, terminator} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, toSign)), true
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// canonicalRequest returns the text that is signed. The list of headers must be sorted and without
// repetitions. The digest of the payload is computed, and not taken from the request.
func canonicalRequest(r *http.Request, body []byte, signedHeaders []string) (string, bool) {
	query, ok := canonicalQuery(r.URL.RawQuery)
	if !ok || !slices.IsSorted(signedHeaders) ||
		len(slices.Compact(slices.Clone(signedHeaders))) != len(signedHeaders) {
		return "", false
	}
	digest := sha256.Sum256(body)
	payload := hex.EncodeToString(digest[:])
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); claimed != "" && claimed != payload {
		return "", false
	}

	var b strings.Builder
	b.WriteString(r.Method + "\n")
	// Every service except S3 encodes the path a second time.
	b.WriteString(uriEncode(r.URL.EscapedPath(), false) + "\n")
	b.WriteString(query + "\n")
	for _, name := range signedHeaders {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signedHeaders, ";") + "\n" + payload)
	return b.String(), true
}

// canonicalHeader joins the values of a header with commas, trims them and reduces runs of spaces
// to one.
func canonicalHeader(r *http.Request, name string) string {
	values := r.Header.Values(name)
	if name == "host" { // net/http removes it from the header
		values = []string{r.Host}
	}
	cleaned := make([]string, len(values))
	for i, v := range values {
		cleaned[i] = strings.Join(strings.FieldsFunc(v,
			func(c rune) bool { return c == ' ' || c == '\t' }), " ")
	}
	return strings.Join(cleaned, ",")
}

// canonicalQuery sorts the parameters by their encoded names, then values.
func canonicalQuery(raw string) (string, bool) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", false
	}
	var pairs []string
	for name, vs := range values {
		for _, v := range vs {
			pairs = append(pairs, uriEncode(name, true)+"="+uriEncode(v, true))
		}
	}
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		return cmp.Or(strings.Compare(an, bn), strings.Compare(av, bv))
	})
	return strings.Join(pairs, "&"), true
}

// uriEncode percent-encodes all but the unreserved characters of RFC 3986, and optionally the
// slash.
func uriEncode(s string, slash bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && !slash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// validRegion reports whether the text has the form of a region: eu-west-1, us-gov-east-1. The
// fake serves all regions.
func validRegion(region string) bool {
	parts := strings.Split(region, "-")
	if len(parts) < 3 {
		return false
	}
	for i, p := range parts {
		last := i == len(parts)-1
		if p == "" || strings.ContainsFunc(p, func(c rune) bool {
			return last && (c < '0' || c > '9') || !last && (c < 'a' || c > 'z')
		}) {
			return false
		}
	}
	return true
}

func commonError(code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: message, common: true}
}

func invalidSignature(message string) *apiError {
	return commonError("InvalidSignatureException", message)
}

func unrecognizedClient() *apiError {
	return commonError("UnrecognizedClientException",
		"The security token included in the request is invalid.")
}
