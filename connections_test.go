package secretref_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

const kvBody = `{"data":{"data":{"k":"good"},"metadata":{"deletion_time":"","destroyed":false,"version":1}}}`

// pemFile writes the certificate of s to a file.
func pemFile(t testing.TB, s *httptest.Server) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t,
		os.WriteFile(path,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return path
}

// newCertificate returns a self-signed certificate for 127.0.0.1, in PEM.
func newCertificate(t *testing.T, name string) (certificate, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// rotatingServer is a TLS server whose certificate can be replaced.
type rotatingServer struct {
	*httptest.Server
	config atomic.Pointer[tls.Config]
}

func newRotatingServer(t *testing.T, h http.Handler) *rotatingServer {
	s := &rotatingServer{Server: httptest.NewUnstartedServer(h)}
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config,
		error) {
		return s.config.Load(), nil
	}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// rotate gives the server a new certificate and returns it.
func (s *rotatingServer) rotate(t *testing.T, clients tls.ClientAuthType) []byte {
	certificate, key := newCertificate(t, "server")
	pair, err := tls.X509KeyPair(certificate, key)
	require.NoError(t, err)
	s.config.Store(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: clients,
		NextProtos: []string{"h2", "http/1.1"}})
	s.CloseClientConnections()
	return certificate
}

// replace replaces a file atomically, as tools that rotate certificates do.
func replace(t *testing.T, path string, content []byte) {
	require.NoError(t, os.WriteFile(path+".new", content, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestCertificates_reload(t *testing.T) {
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"),
		filepath.Join(dir, "key.pem")

	t.Run("Vault", func(t *testing.T) {
		vaultEnv(t)
		s := newRotatingServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w,
				strings.Replace(kvBody, "good", r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Proto, 1))
		}))
		t.Setenv(vaultTokenVariable, "tok")
		for name, path := range map[string]string{"VAULT_CACERT": ca, "VAULT_CLIENT_CERT": cert,
			"VAULT_CLIENT_KEY": key} {
			t.Setenv(name, path)
		}
		client := func(name string) {
			certificate, private := newCertificate(t, name)
			replace(t, cert, certificate)
			replace(t, key, private)
		}
		replace(t, ca, s.rotate(t, tls.RequireAnyClientCert))
		client("one")
		var log bytes.Buffer
		r := vaultResolver(t,
			&secretref.Options{Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		want := func(text string) {
			t.Helper()
			got, err := r.Resolve(t.Context(), vaultValue(s.URL, "a", "k"))
			require.NoError(t, err)
			require.Equal(t, text+" HTTP/2.0", got.Reveal())
		}
		want("one")
		client("two")
		want("two")
		replace(t, ca, s.rotate(t, tls.RequireAnyClientCert))
		want("two")
		require.Empty(t, log.String())

		replace(t, cert, []byte("half of a certi"))
		want("two")
		want("two")
		require.Equal(t, 1, strings.Count(log.String(), "VAULT_CLIENT_CERT"), log.String())
		client("three")
		want("three")
		require.NoError(t, os.Remove(ca))
		want("three")
	})
	t.Run("Vault, a directory", func(t *testing.T) {
		vaultEnv(t)
		s := newRotatingServer(t,
			http.HandlerFunc(func(w http.ResponseWriter,
				_ *http.Request) {
				_, _ = io.WriteString(w, kvBody)
			}))
		t.Setenv(vaultTokenVariable, "tok")
		cas := t.TempDir()
		t.Setenv("VAULT_CAPATH", cas)
		r := vaultResolver(t, &secretref.Options{Timeout: time.Minute})
		for _, name := range []string{"one.pem", "one.pem", "two.pem"} {
			replace(t, filepath.Join(cas, name), s.rotate(t, tls.NoClientCert))
			_, err := r.Resolve(t.Context(), vaultValue(s.URL, "a", "k"))
			require.NoError(t, err)
		}
	})
	t.Run("AWS", func(t *testing.T) {
		fake := awsFake(t)
		fake.PutSecret("eu-west-1", "db", "good")
		to, err := url.Parse(fake.URL())
		require.NoError(t, err)
		s := newRotatingServer(t,
			&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }})
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL)
		t.Setenv("AWS_CA_BUNDLE", ca)
		replace(t, ca, s.rotate(t, tls.NoClientCert))
		r := secretref.New(&secretref.Options{Timeout: time.Minute, TTL: -1})
		defer r.Close()
		for range 3 {
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.NoError(t, err)
			replace(t, ca, s.rotate(t, tls.NoClientCert))
		}
		replace(t, ca, nil)
		_, err = r.Resolve(t.Context(), awsDB(""))
		require.ErrorContains(t, err, "is not trusted", "the last good bundle is in use")
	})
}
