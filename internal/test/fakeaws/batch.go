package fakeaws

import (
	"strings"
)

// batchLimit is how many secrets one BatchGetSecretValue may name.
const batchLimit = 20

type batchInput struct {
	SecretIDList []string `json:"SecretIdList"`
	Filters      []any
	MaxResults   *int
	NextToken    *string
}

type batchOutput struct {
	SecretValues []*secretValue
	Errors       []batchError
}

type batchError struct {
	SecretID  string `json:"SecretId"`
	ErrorCode string
	Message   string
}

// batchGetSecretValue returns, for every identifier in order, the AWSCURRENT value or an error.
// The call fails only if its input is invalid or the action is denied.
func (s *Server) batchGetSecretValue(who caller, in batchInput) (*batchOutput, *apiError) {
	if fault := in.validate(); fault != nil {
		return nil, fault
	}
	s.mu.Lock()
	denied := s.isDenied(batchAction, "")
	s.mu.Unlock()
	if denied {
		return nil, notAuthorized(who, batchAction, "", "identity-based")
	}
	out := &batchOutput{SecretValues: []*secretValue{}, Errors: []batchError{}}
	for _, id := range in.SecretIDList {
		value, fault := s.getSecretValue(who, getInput{SecretID: &id})
		if fault != nil {
			out.Errors = append(out.Errors, batchError{id, fault.code, fault.message})
			continue
		}
		out.SecretValues = append(out.SecretValues, value)
	}
	return out, nil
}

func (in batchInput) validate() *apiError {
	if n := len(in.SecretIDList); n > batchLimit {
		return constraint("'["+strings.Join(in.SecretIDList, ", ")+"]'", "secretIdList",
			"Member must have length less than or equal to 20")
	}
	for _, id := range in.SecretIDList {
		if fault := lengthBetween(&id, "secretIdList", 1, 2048); fault != nil {
			return fault
		}
	}
	switch hasIDs, hasFilters := len(in.SecretIDList) > 0, len(in.Filters) > 0; {
	case hasIDs == hasFilters:
		return serviceError("InvalidParameterException",
			"Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	case hasFilters:
		return serviceError("InvalidParameterException", "fakeaws does not implement Filters.")
	case in.MaxResults != nil:
		return serviceError("InvalidParameterException",
			"'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.")
	case in.NextToken != nil:
		return serviceError("InvalidNextTokenException", "The NextToken value is invalid.")
	}
	return nil
}
