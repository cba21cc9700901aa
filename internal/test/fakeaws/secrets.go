package fakeaws

import (
	"slices"
	"strings"
	"time"
)

const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

type secretKey struct{ region, name string }

// secret is one secret of a region with all its versions, oldest first.
type secret struct {
	arn, name string
	deleted   bool // scheduled for deletion
	versions  []*version
}

// version is one value of a secret. Exactly one of text and binary is set.
type version struct {
	id      string
	text    *string
	binary  []byte
	stages  []string
	created time.Time
}

// PutSecret stores a text as the new AWSCURRENT version of a secret, which it creates if
// necessary, and returns the secret's ARN. The last AWSCURRENT version becomes AWSPREVIOUS.
func (s *Server) PutSecret(region, name, value string) (arn string) {
	return s.put(region, name, &version{text: &value})
}

// PutBinary is [Server.PutSecret] for a binary value.
func (s *Server) PutBinary(region, name string, value []byte) (arn string) {
	return s.put(region, name, &version{binary: append([]byte{}, value...)})
}

// CreateEmpty creates a secret without a value. It does not change an existing secret.
func (s *Server) CreateEmpty(region, name string) (arn string) {
	return s.put(region, name, nil)
}

func (s *Server) put(region, name string, v *version) string {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.secrets[secretKey{region, name}]
	if sec == nil {
		sec = &secret{name: name, arn: arnPrefix(region) + name + "-" + randomString(base62, 6)}
		s.secrets[secretKey{region, name}] = sec
	}
	if v == nil {
		return sec.arn
	}
	// Calls in progress use the versions, so they are replaced and never changed.
	for i, old := range sec.versions {
		relabelled := *old
		switch {
		case slices.Contains(old.stages, stageCurrent):
			relabelled.stages = []string{stagePrevious}
		default:
			relabelled.stages = nil
		}
		sec.versions[i] = &relabelled
	}
	v.id, v.created, v.stages = newUUID(), now, []string{stageCurrent}
	sec.versions = append(sec.versions, v)
	return sec.arn
}

// DeleteSecret schedules a secret, if it exists, for deletion: its value cannot be read.
func (s *Server) DeleteSecret(region, name string) { s.setDeleted(region, name, true) }

// RestoreSecret undoes [Server.DeleteSecret].
func (s *Server) RestoreSecret(region, name string) { s.setDeleted(region, name, false) }

func (s *Server) setDeleted(region, name string, deleted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sec := s.secrets[secretKey{region, name}]; sec != nil {
		sec.deleted = deleted
	}
}

// denial is one statement of the fake's policy, which allows everything else.
type denial struct{ action, name string }

// Deny refuses an action on the secret with that name in every region, or on all of them with
// "*". Actions are "secretsmanager:GetSecretValue", "kms:Decrypt" and, with the ARN of a role for
// a name, "sts:AssumeRole". "secretsmanager:BatchGetSecretValue" has no resources in IAM, so
// any name denies every such call. Each secret in a batch is also checked for
// "secretsmanager:GetSecretValue". A denied action on a missing secret is denied, not not found.
func (s *Server) Deny(action, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[denial{action, name}] = true
}

// Allow undoes the [Server.Deny] with the same arguments.
func (s *Server) Allow(action, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.denied, denial{action, name})
}

// isDenied must be called with the lock held.
func (s *Server) isDenied(action, name string) bool {
	if action == batchAction {
		for d := range s.denied {
			if d.action == action {
				return true
			}
		}
		return false
	}
	return s.denied[denial{action, "*"}] || s.denied[denial{action, name}]
}

func arnPrefix(region string) string {
	return "arn:aws:secretsmanager:" + region + ":" + Account + ":secret:"
}

// resource is a parsed SecretId: a friendly name, or a complete or partial ARN.
type resource struct {
	name    string // the friendly name; for an ARN the text after ":secret:"
	isARN   bool
	account string // of an ARN
}

// parseSecretID parses a name or the ARN of a secret.
func parseSecretID(id string) (resource, *apiError) {
	invalid := &apiError{status: 400, code: "ValidationException", common: true,
		message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
	name, isARN := strings.CutPrefix(id, "arn:")
	if !isARN {
		if !validName(id) {
			return resource{}, invalid
		}
		return resource{name: id}, nil
	}
	// partition:secretsmanager:region:account:secret:name
	f := strings.SplitN(name, ":", 6)
	if len(f) != 6 || f[0] == "" || f[1] != "secretsmanager" || f[2] == "" || f[3] == "" ||
		f[4] != "secret" || !validName(f[5]) {
		return resource{}, invalid
	}
	return resource{name: f[5], isARN: true, account: f[3]}, nil
}

func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
			!strings.ContainsRune("-/_+=.@!", c)
	})
}

// find returns a secret of the region that serves the call. It must be called with the lock
// held. It returns nil for an ARN of another region, as the service does.
func (s *Server) find(region, id string, res resource) *secret {
	if !res.isARN {
		return s.secrets[secretKey{region, res.name}]
	}
	for key, sec := range s.secrets {
		if key.region == region && sec.arn == id {
			return sec
		}
	}
	// A partial ARN lacks the hyphen and six random characters. An ARN with such an end is
	// regarded as complete, so a secret with such a name is not found by its partial ARN, as
	// documented.
	if endsInSuffix(res.name) || !strings.HasPrefix(id, arnPrefix(region)) {
		return nil
	}
	return s.secrets[secretKey{region, res.name}]
}

// endsInSuffix reports whether a name ends in a hyphen and six characters as Secrets Manager
// appends them.
func endsInSuffix(name string) bool {
	if len(name) < 7 || name[len(name)-7] != '-' {
		return false
	}
	return !strings.ContainsFunc(name[len(name)-6:],
		func(c rune) bool { return !strings.ContainsRune(base62, c) })
}

// nameOf returns the friendly name for policy statements. It must be called with the lock held.
func (s *Server) nameOf(region, id string, res resource) string {
	if sec := s.find(region, id, res); sec != nil {
		return sec.name
	}
	if res.isARN && endsInSuffix(res.name) {
		return res.name[:len(res.name)-7]
	}
	return res.name
}
