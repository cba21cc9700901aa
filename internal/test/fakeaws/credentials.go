package fakeaws

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"
)

// defaultLifetime is the default lifetime of the credentials of AssumeRole.
const defaultLifetime = time.Hour

// credential is a key that the fake accepts.
type credential struct {
	id, secret string
	token      string    // empty for a long-term key
	expires    time.Time // zero: never
	arn        string    // of the identity
	userID     string
}

// AddKey makes the fake accept a key. An empty session token makes it a long-term key of an IAM
// user; otherwise every request must contain exactly that token. Neither expires.
func (s *Server) AddKey(accessKeyID, secretAccessKey, sessionToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := credential{
		id: accessKeyID, secret: secretAccessKey, token: sessionToken,
		arn:    "arn:aws:iam::" + Account + ":user/secretref",
		userID: "AIDACKCEVSQ6C2EXAMPLE",
	}
	if sessionToken != "" {
		c.arn = assumedRole("secretref", "session")
		c.userID = "AROADBQP57FF2AEXAMPLE:session"
	}
	s.keys[accessKeyID] = c
}

// RemoveKey removes a key, as after a key rotation.
func (s *Server) RemoveKey(accessKeyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, accessKeyID)
}

// CredentialLifetime sets the lifetime of later temporary credentials. It overrides the lifetime
// that the client requests. Zero means the requested lifetime, or one hour.
func (s *Server) CredentialLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
	clear(s.delivered)
}

// ExpireCredentials ends every temporary credential before its expiry.
func (s *Server) ExpireCredentials() {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.keys {
		if c.token != "" {
			c.expires = now
			s.keys[id] = c
		}
	}
	clear(s.delivered)
}

// issue creates temporary credentials for a session of a role. requested is the lifetime that
// the client requests, or zero.
func (s *Server) issue(roleName, session string, requested time.Duration) credential {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := credential{
		id:      "ASIA" + randomString(base32, 16),
		secret:  randomString(base62, 40),
		token:   randomString(base62, 300),
		expires: now.Add(cmp.Or(s.lifetime, requested, defaultLifetime)).UTC().Truncate(time.Second),
		arn:     assumedRole(roleName, session),
		userID:  "AROA" + randomString(base32, 17) + ":" + session,
	}
	s.keys[c.id] = c
	return c
}

// deliver returns the credentials of a machine (instance or task). As in the metadata services,
// all requests get the same ones, which are replaced well before they expire.
func (s *Server) deliver(roleName, session string) credential {
	now := s.clock()
	s.mu.Lock()
	c, ok := s.delivered[roleName+"/"+session]
	margin := min(5*time.Minute, cmp.Or(s.lifetime, defaultLifetime)/2)
	s.mu.Unlock()
	if ok && now.Before(c.expires.Add(-margin)) {
		return c
	}
	c = s.issue(roleName, session, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered[roleName+"/"+session] = c
	return c
}

func (s *Server) key(accessKeyID string) (credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.keys[accessKeyID]
	return c, ok
}

// checkToken verifies the session token of a request whose signature is good.
func (c credential) checkToken(token string, now time.Time) *apiError {
	if subtle.ConstantTimeCompare([]byte(c.token), []byte(token)) != 1 {
		return unrecognizedClient()
	}
	if !c.expires.IsZero() && !now.Before(c.expires) {
		return commonError("ExpiredTokenException",
			"The security token included in the request is expired")
	}
	return nil
}

func assumedRole(name, session string) string {
	return "arn:aws:sts::" + Account + ":assumed-role/" + name + "/" + session
}

const (
	base62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// randomString returns n nearly uniform characters of the alphabet.
func randomString(alphabet string, n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	var b strings.Builder
	for _, c := range raw {
		b.WriteByte(alphabet[int(c)%len(alphabet)])
	}
	return b.String()
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
