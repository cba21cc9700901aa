package dsn_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

func TestPostgreSQLTLS(t *testing.T) {
	home := isolate(t)
	d := databases.PostgreSQL(t)
	authority, cert, key := certificate(t)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	plain, secure := front(t, d.Addr, nil),
		front(t, d.Addr, &tls.Config{Certificates: []tls.Certificate{pair}})

	right, other := filepath.Join(home, "ca.crt"), filepath.Join(home, "other.crt")
	require.NoError(t, os.WriteFile(right, []byte(authority), 0o600))
	foreign, _, _ := certificate(t)
	require.NoError(t, os.WriteFile(other, []byte(foreign), 0o600))
	dotted := filepath.Join(home, ".postgresql", "root.crt")
	require.NoError(t, os.MkdirAll(filepath.Dir(dotted), 0o700))

	const name, address = "localhost", "127.0.0.1" // the certificate is for the name only
	for _, tt := range []struct {
		server        *frontServer
		host, options string
		root          string // ~/.postgresql/root.crt
		want          string
	}{
		{server: plain, options: "", want: "plain"},
		{server: plain, options: "ssl=false", want: "plain"},
		{server: plain, options: "sslmode=allow", want: "plain"},
		{server: plain, options: "ssl=require", want: "refused"},
		{server: plain, options: "ssl=true", root: authority, want: "refused"},
		{server: plain, options: "sslmode=require", want: "refused"},
		{server: plain, options: "sslmode=verify-full&sslrootcert=" + right, want: "refused"},
		{server: secure, options: "", want: "encrypted"},
		{server: secure, options: "ssl=false", want: "encrypted"},
		{server: secure, options: "sslmode=disable", want: "plain"},
		{server: secure, options: "sslmode=allow", want: "plain"},
		{server: secure, host: address, options: "ssl=require", want: "encrypted"},
		{server: secure, host: address,
			options: "ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", want: "encrypted"},
		{server: secure, options: "sslmode=require", root: foreign, want: "encrypted"},
		{server: secure, options: "ssl=true&sslrootcert=" + right, want: "encrypted"},
		{server: secure, options: "ssl&sslrootcert=" + right, want: "encrypted"},
		{server: secure, options: "sslmode=verify-full&sslrootcert=" + right, want: "encrypted"},
		{server: secure, host: address, options: "ssl=true&sslrootcert=" + right, want: "refused"},
		{server: secure, options: "ssl=true&sslrootcert=" + other, want: "refused"},
		{server: secure, host: address, options: "sslmode=verify-ca&sslrootcert=" + right,
			want: "encrypted"},
		{server: secure, host: address, options: "sslmode=verify-ca&sslrootcert=" + other,
			want: "refused"},
		{server: secure, options: "ssl=true", want: "refused"},
		{server: secure, options: "ssl=true", root: authority, want: "encrypted"},
		{server: secure, options: "ssl=true", root: foreign, want: "refused"},
		{server: secure, options: "sslmode=verify-ca", want: "refused"},
	} {
		_ = os.Remove(dotted)
		if tt.root != "" {
			require.NoError(t, os.WriteFile(dotted, []byte(tt.root), 0o600))
		}
		url := "jdbc:postgresql://" + net.JoinHostPort(cmp.Or(tt.host, name), tt.server.port) +
			"/postgres?" + tt.options
		_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: d.Password})
		tt.server.encrypted.Store(false)
		_, err := login(t, "pgx", dsn, "SELECT 1::text")
		got := "refused"
		if err == nil && tt.server.encrypted.Load() {
			got = "encrypted"
		} else if err == nil {
			got = "plain"
		}
		require.Equal(t, tt.want, got, "%s: %v", url, err)
	}
}

// frontServer is a proxy for PostgreSQL that accepts or refuses TLS.
type frontServer struct {
	port      string
	encrypted atomic.Bool // the last client went on with TLS
}

// front starts a proxy for the server at addr. If config is nil, it answers like a server
// without TLS.
func front(t *testing.T, addr string, config *tls.Config) *frontServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	f := &frontServer{}
	_, f.port, _ = net.SplitHostPort(l.Addr().String())
	serve := func(client net.Conn) {
		defer client.Close()
		first := make([]byte, 8)
		if _, err := io.ReadFull(client, first); err != nil {
			return
		}
		const sslRequest = 80877103
		if binary.BigEndian.Uint32(first[4:]) == sslRequest {
			if config == nil {
				_, _ = client.Write([]byte("N"))
			} else {
				_, _ = client.Write([]byte("S"))
				client = tls.Server(client, config)
			}
			f.encrypted.Store(config != nil)
			first = nil
		} else {
			f.encrypted.Store(false)
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer server.Close()
		if _, err := server.Write(first); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		_, _ = io.Copy(server, client)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	return f
}

// certificate creates an authority, and a certificate for localhost with its key.
func certificate(t *testing.T) (authority, cert, key string) {
	t.Helper()
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotAfter: time.Now().Add(time.Hour),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	require.NoError(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"},
		DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	require.NoError(t, err)
	return encode("CERTIFICATE", caDER), encode("CERTIFICATE", leafDER), encode("PRIVATE KEY", keyDER)
}
