package jdbc

import "strings"

// connectorTLS returns the value of go-sql-driver's tls for Connector/J's
// options.
func connectorTLS(o *options) string {
	mode, hasMode := o.take("sslMode")
	useSSL, hasUse := o.boolean("useSSL")
	require, _ := o.boolean("requireSSL")
	verify, _ := o.boolean("verifyServerCertificate")
	if !hasMode {
		switch {
		case hasUse && !useSSL:
			mode = "DISABLED"
			if require || verify {
				o.t.mistake("useSSL=false contradicts requireSSL or verifyServerCertificate: remove one")
			}
		case verify:
			mode = "VERIFY_CA"
		case require, useSSL:
			// Connector/J goes on without TLS if the server has none, but who
			// wrote useSSL=true counts on it.
			mode = "REQUIRED"
		default:
			mode = "PREFERRED"
		}
	} else if weak := strings.EqualFold(mode, "DISABLED") || strings.EqualFold(mode, "PREFERRED"); weak && (require || verify || useSSL && strings.EqualFold(mode, "DISABLED")) {
		o.t.mistake("sslMode allows connections without TLS and another option asks for TLS: remove one")
	} else if verify && strings.EqualFold(mode, "REQUIRED") {
		mode = "VERIFY_CA"
	}
	var tls string
	switch strings.ToUpper(mode) {
	case "DISABLED":
		tls = "false"
		o.fulfilled(nil, "trustCertificateKeyStoreUrl", "trustCertificateKeyStoreType", "trustCertificateKeyStorePassword",
			"clientCertificateKeyStoreUrl", "clientCertificateKeyStoreType", "clientCertificateKeyStorePassword")
	case "PREFERRED":
		tls = "preferred"
	case "REQUIRED":
		tls = "skip-verify"
	case "VERIFY_CA":
		tls = "true"
		o.t.ignore("sslMode=VERIFY_CA (the host's name is verified as well)")
	case "VERIFY_IDENTITY":
		tls = "true"
	default:
		o.t.mistake("sslMode has a value that Connector/J does not know")
	}
	if tls == "false" || tls == "preferred" {
		plainKey(o)
	}
	o.refuse("Go does not read a Java key store; the Go driver trusts the system's certificates",
		"trustCertificateKeyStoreUrl", "trustCertificateKeyStoreType", "trustCertificateKeyStorePassword",
		"clientCertificateKeyStoreUrl", "clientCertificateKeyStoreType", "clientCertificateKeyStorePassword")
	o.fulfilled(nil, "fallbackToSystemKeyStore")
	tlsVersions(o, tls, "tlsVersions", "enabledTLSProtocols")
	o.refuse("the Go driver chooses the ciphers", "tlsCiphersuites", "enabledSSLCipherSuites")
	return tls
}

// mariadbTLS returns the value of go-sql-driver's tls for MariaDB's options.
func mariadbTLS(o *options) string {
	mode, _ := o.take("sslMode")
	useSSL, _ := o.boolean("useSsl")
	trust, _ := o.boolean("trustServerCertificate")
	noName, _ := o.boolean("disableSslHostnameVerification")
	if useSSL {
		// It overrides sslMode; of both the safer one.
		switch {
		case mode == "" && trust:
			mode = "trust"
		case mode == "" && noName:
			mode = "verify-ca"
		case mode == "":
			mode = "verify-full"
		}
	}
	var tls string
	switch strings.ToLower(mode) {
	case "", "disable", "disabled", "0", "false":
		tls = "false"
		if useSSL {
			o.t.mistake("sslMode and useSsl contradict each other: remove one")
		}
		o.fulfilled(nil, "serverSslCert", "keyStore", "keyStorePassword", "keyStoreType", "keyPassword", "trustStore",
			"trustStorePassword", "trustStoreType")
	case "trust", "required":
		tls = "skip-verify"
	case "verify-ca", "verify_ca":
		tls = "true"
		o.t.ignore("sslMode=verify-ca (the host's name is verified as well)")
	case "verify-full", "verify_full", "verify_identity", "1", "true":
		tls = "true"
	default:
		o.t.mistake("sslMode has a value that MariaDB's driver does not know")
	}
	if tls == "false" {
		plainKey(o)
	}
	o.refuse("the Go driver trusts the system's certificates only", "serverSslCert", "trustStore", "trustStorePassword", "trustStoreType",
		"fallbackToSystemTrustStore")
	o.refuse("Go does not read a Java key store", "keyStore", "keyStorePassword", "keyStoreType", "keyPassword", "fallbackToSystemKeyStore")
	o.refuse("a Java class makes the connection", "tlsSocketType")
	tlsVersions(o, tls, "enabledSslProtocolSuites")
	o.refuse("the Go driver chooses the ciphers", "enabledSslCipherSuites")
	return tls
}

// plainKey reports allowPublicKeyRetrieval=false where it would matter: without
// TLS the Go driver encrypts a caching_sha2_password login with whatever key the
// server shows.
func plainKey(o *options) {
	if v, ok := o.lookup("allowPublicKeyRetrieval"); ok && !strings.EqualFold(v, "true") {
		o.fulfilled(nil, "allowPublicKeyRetrieval")
		o.t.ignore("allowPublicKeyRetrieval=false")
	}
}

// tlsVersions deals with a list of versions. The Go driver speaks 1.2 and 1.3.
func tlsVersions(o *options, tls string, names ...string) {
	list, ok := o.take(names...)
	if !ok || tls == "false" || list == "" {
		return
	}
	only12 := false
	for v := range strings.SplitSeq(list, ",") {
		only12 = only12 || strings.EqualFold(strings.TrimSpace(v), "TLSv1.2")
	}
	if !only12 {
		o.t.refuse(names[0] + ": the Go driver speaks TLS 1.2 and 1.3, and does not leave out 1.2")
	}
}
