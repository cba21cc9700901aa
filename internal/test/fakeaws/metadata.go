package fakeaws

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	tokenPath       = "/latest/api/token"
	credentialsPath = "/latest/meta-data/iam/security-credentials"
	tokenTTLHeader  = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader     = "X-Aws-Ec2-Metadata-Token"
	longestTokenTTL = 21600 // seconds

	ecsPath = "/v2/credentials/3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	ecsRole = "secretref-task"
)

// AddInstanceRole attaches a role to the instance. Without one, the metadata service has no
// credentials.
func (s *Server) AddInstanceRole(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instanceRoles = append(s.instanceRoles, name)
}

// V1Attempts returns the number of requests without a session token, which version 1 of the
// service allows.
func (s *Server) V1Attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.v1Attempts
}

// serveIMDS is the instance metadata service with version 1 switched off (HttpTokens: required).
func (s *Server) serveIMDS(w http.ResponseWriter, r *http.Request) {
	s.begin(w)
	s.record(Request{Service: "imds", Action: r.Method + " " + r.URL.Path})
	w.Header().Set("Server", "EC2ws")
	switch {
	case r.URL.Path == tokenPath:
		s.serveToken(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !s.tokenHolds(r.Header.Get(tokenHeader)):
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.serveInstanceCredentials(w, r)
	}
}

// serveToken opens a session. It refuses a request that came through a proxy: this is the
// purpose of version 2.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(tokenTTLHeader))
	if err != nil || ttl < 1 || ttl > longestTokenTTL {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	token := randomString(base62, 54) + "=="
	expires := s.clock().Add(time.Duration(ttl) * time.Second)
	s.mu.Lock()
	s.metadataTokens[token] = expires
	s.mu.Unlock()
	w.Header().Set(tokenTTLHeader, strconv.Itoa(ttl))
	writeText(w, token)
}

// tokenHolds reports whether a request has the token of an open session. It counts the requests
// without a token.
func (s *Server) tokenHolds(token string) bool {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == "" {
		s.v1Attempts++
		return false
	}
	expires, ok := s.metadataTokens[token]
	return ok && now.Before(expires)
}

func (s *Server) serveInstanceCredentials(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	roles := append([]string{}, s.instanceRoles...)
	s.mu.Unlock()
	rest, ok := strings.CutPrefix(r.URL.Path, credentialsPath)
	rest = strings.TrimPrefix(rest, "/")
	if !ok || len(roles) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if rest == "" {
		writeText(w, strings.Join(roles, "\n"))
		return
	}
	for _, name := range roles {
		if name == rest {
			c := s.deliver(name, "i-0123456789abcdef0")
			writeMetadata(w, http.StatusOK, map[string]string{
				"Code":            "Success",
				"Type":            "AWS-HMAC",
				"LastUpdated":     s.clock().UTC().Format(time.RFC3339),
				"AccessKeyId":     c.id,
				"SecretAccessKey": c.secret,
				"Token":           c.token,
				"Expiration":      c.expires.Format(time.RFC3339),
			})
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// ECSToken returns the authorization token that the container credentials endpoint requires: a
// random one until [Server.SetECSToken].
func (s *Server) ECSToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ecsToken
}

// SetECSToken replaces the authorization token of the container credentials endpoint, as when a
// projected token is rotated.
func (s *Server) SetECSToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ecsToken = token
}

// serveECS returns the credentials of the task to requests with the authorization token.
func (s *Server) serveECS(w http.ResponseWriter, r *http.Request) {
	s.begin(w)
	s.record(Request{Service: "ecs", Action: r.Method + " " + r.URL.Path})
	switch {
	case r.Method != http.MethodGet || r.URL.Path != ecsPath:
		writeMetadata(w, http.StatusNotFound,
			map[string]string{"code": "InvalidIdInRequest", "message": "no such task"})
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(s.ECSToken())) != 1:
		writeMetadata(w, http.StatusUnauthorized,
			map[string]string{"code": "Unauthorized",
				"message": "the authorization token is missing or wrong"})
	default:
		c := s.deliver(ecsRole, "3f2504e04f8941d39a0c0305e82c3301")
		writeMetadata(w, http.StatusOK, map[string]string{
			"RoleArn":         "arn:aws:iam::" + Account + ":role/" + ecsRole,
			"AccessKeyId":     c.id,
			"SecretAccessKey": c.secret,
			"Token":           c.token,
			"Expiration":      c.expires.Format(time.RFC3339),
		})
	}
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(text))
}

func writeMetadata(w http.ResponseWriter, status int, v map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, status, v)
}
