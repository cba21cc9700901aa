package fakeaws

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	targetPrefix = "secretsmanager."
	getAction    = "secretsmanager:GetSecretValue"
	batchAction  = "secretsmanager:BatchGetSecretValue"
)

// serveSecretsManager is the JSON 1.1 protocol: every operation is a POST to the root, named by a
// header.
func (s *Server) serveSecretsManager(w http.ResponseWriter, r *http.Request) {
	s.begin(w)
	body, fault := readBody(w, r)
	s.recordAPI(r, body)
	if !s.wait(r.Context()) {
		panic(http.ErrAbortHandler) // returning would send an empty 200
	}
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	if f, ok := s.nextFailure("secretsmanager"); ok {
		maps.Copy(w.Header(), f.header)
		f.err.writeJSON(w)
		return
	}
	if fault != nil {
		fault.writeJSON(w)
		return
	}
	if !isJSON11(r) {
		// The service does not recognize this as a call of its protocol.
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("<UnknownOperationException/>\n"))
		return
	}
	out, fault := s.call(r, body)
	if fault != nil {
		fault.writeJSON(w)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func isJSON11(r *http.Request) bool {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return r.Method == http.MethodPost && r.URL.Path == "/" &&
		strings.EqualFold(strings.TrimSpace(mediaType), "application/x-amz-json-1.1")
}

// recordAPI records a call before it is verified.
func (s *Server) recordAPI(r *http.Request, body []byte) {
	auth, _, _ := parseAuthorization(r)
	var in struct {
		SecretID     string   `json:"SecretId"`
		SecretIDList []string `json:"SecretIdList"`
	}
	_ = decode(body, &in) // a broken body is recorded without identifiers
	ids := in.SecretIDList
	if in.SecretID != "" {
		ids = append([]string{in.SecretID}, ids...)
	}
	s.record(Request{
		Service:     "secretsmanager",
		Action:      strings.TrimPrefix(r.Header.Get("X-Amz-Target"), targetPrefix),
		Region:      auth.region,
		AccessKeyID: auth.accessKeyID,
		SecretIDs:   ids,
	})
}

// caller is the identity and the region of a call.
type caller struct {
	credential
	region string
}

// call checks a call in the order of the service: serialization, operation, signature, input.
func (s *Server) call(r *http.Request, body []byte) (any, *apiError) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, commonError("SerializationException", "The body is not a JSON document.")
	}
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || operation != "GetSecretValue" && operation != "BatchGetSecretValue" {
		// AWS does not document whether it checks the signature first.
		return nil, commonError("UnknownOperationException", "fakeaws does not know this operation.")
	}
	c, auth, fault := s.verify(r, body, "secretsmanager")
	if fault != nil {
		return nil, fault
	}
	who := caller{c, auth.region}
	if operation == "BatchGetSecretValue" {
		var in batchInput
		if fault := decode(body, &in); fault != nil {
			return nil, fault
		}
		return s.batchGetSecretValue(who, in)
	}
	var in getInput
	if fault := decode(body, &in); fault != nil {
		return nil, fault
	}
	return s.getSecretValue(who, in)
}

// decode reads the members of the struct that in points to; others are ignored, as AWS does. A
// name must match exactly, although encoding/json would take any letter case.
func decode(body []byte, in any) *apiError {
	var members map[string]json.RawMessage
	err := json.Unmarshal(body, &members)
	if err == nil {
		known := map[string]bool{}
		for field := range reflect.TypeOf(in).Elem().Fields() {
			known[cmp.Or(field.Tag.Get("json"), field.Name)] = true
		}
		maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return !known[name] })
		var exact []byte
		if exact, err = json.Marshal(members); err == nil {
			err = json.Unmarshal(exact, in)
		}
	}
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return commonError("SerializationException",
			wrongType.Value+" can not be converted to the type of member "+wrongType.Field)
	case err != nil:
		return commonError("SerializationException", "The body does not fit the operation.")
	}
	return nil
}

type getInput struct {
	SecretID     *string `json:"SecretId"`
	VersionID    *string `json:"VersionId"`
	VersionStage *string `json:"VersionStage"`
}

// secretValue is the output of GetSecretValue, and an entry in that of BatchGetSecretValue.
type secretValue struct {
	ARN           string
	Name          string
	VersionID     string      `json:"VersionId"`
	SecretString  *string     `json:",omitempty"`
	SecretBinary  []byte      `json:",omitempty"` // base64 on the wire
	VersionStages []string    `json:",omitempty"`
	CreatedDate   json.Number // seconds, with milliseconds
}

// getSecretValue is the operation after authentication. As in AWS, authorization is checked
// before existence, so that a denied caller does not learn which secrets exist.
func (s *Server) getSecretValue(who caller, in getInput) (*secretValue, *apiError) {
	if fault := in.validate(); fault != nil {
		return nil, fault
	}
	res, fault := parseSecretID(*in.SecretID)
	if fault != nil {
		return nil, fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDenied(getAction, s.nameOf(who.region, *in.SecretID, res)) {
		return nil, notAuthorized(who, getAction, *in.SecretID, "identity-based")
	}
	if res.isARN && res.account != Account {
		return nil, notAuthorized(who, getAction, *in.SecretID, "resource-based")
	}
	sec := s.find(who.region, *in.SecretID, res)
	if sec == nil {
		return nil, notFound("Secrets Manager can't find the specified secret.")
	}
	if sec.deleted {
		return nil, serviceError("InvalidRequestException",
			"You can't perform this operation on the secret because it was marked for deletion.")
	}
	v, fault := sec.choose(in.VersionID, in.VersionStage)
	if fault != nil {
		return nil, fault
	}
	if s.isDenied("kms:Decrypt", sec.name) {
		return nil, serviceError("AccessDeniedException", "Access to KMS is not allowed")
	}
	return &secretValue{
		ARN: sec.arn, Name: sec.name, VersionID: v.id,
		SecretString: v.text, SecretBinary: v.binary, VersionStages: v.stages,
		CreatedDate: epochSeconds(v.created),
	}, nil
}

// choose picks the version asked for, AWSCURRENT by default.
func (sec *secret) choose(id, stage *string) (*version, *apiError) {
	if id != nil {
		for _, v := range sec.versions {
			if v.id != *id {
				continue
			}
			if stage != nil && !slices.Contains(v.stages, *stage) {
				return nil, serviceError("InvalidRequestException",
					"You provided a VersionStage that is not associated to the provided VersionId.")
			}
			return v, nil
		}
		return nil, notFound("Secrets Manager can't find the specified secret value for VersionId: " + *id)
	}
	wanted := stageCurrent
	if stage != nil {
		wanted = *stage
	}
	for _, v := range sec.versions {
		if slices.Contains(v.stages, wanted) {
			return v, nil
		}
	}
	return nil, notFound("Secrets Manager can't find the specified secret value for staging label: " + wanted)
}

// validate checks the lengths of the input.
func (in getInput) validate() *apiError {
	if in.SecretID == nil {
		return constraint("null", "secretId", "Member must not be null")
	}
	return firstFault(
		lengthBetween(in.SecretID, "secretId", 1, 2048),
		lengthBetween(in.VersionID, "versionId", 32, 64),
		lengthBetween(in.VersionStage, "versionStage", 1, 256),
	)
}

func lengthBetween(v *string, member string, least, most int) *apiError {
	if v == nil {
		return nil
	}
	switch n := utf8.RuneCountInString(*v); {
	case n < least:
		return constraint("'"+*v+"'", member,
			"Member must have length greater than or equal to "+strconv.Itoa(least))
	case n > most:
		return constraint("'"+*v+"'", member,
			"Member must have length less than or equal to "+strconv.Itoa(most))
	}
	return nil
}

func firstFault(faults ...*apiError) *apiError {
	for _, f := range faults {
		if f != nil {
			return f
		}
	}
	return nil
}

// constraint formats the error of a violated constraint as AWS does.
func constraint(value, member, rule string) *apiError {
	return commonError("ValidationException",
		"1 validation error detected: Value "+value+" at '"+member+
			"' failed to satisfy constraint: "+rule)
}

func serviceError(code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: message}
}

func notFound(message string) *apiError {
	return serviceError("ResourceNotFoundException",
		message)
}

// notAuthorized names the resource as the caller wrote it. The full ARN would reveal that the
// secret exists.
func notAuthorized(who caller, action, resource, policy string) *apiError {
	on := ""
	if resource != "" {
		on = " on resource: " + resource
	}
	return serviceError("AccessDeniedException",
		"User: "+who.arn+" is not authorized to perform: "+action+on+
			" because no "+policy+" policy allows the "+action+" action")
}

func epochSeconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64))
}
