package jdbc

import (
	"slices"
	"strings"
)

// The TLS modes, in ascending order of security.
const (
	tlsOff = iota
	tlsPreferred
	tlsRequired
	tlsVerified
)

// tlsNames are go-sql-driver's names of the modes.
var tlsNames = []string{"false", "preferred", "skip-verify", "true"}

const (
	hostVerified   = " (the host's name is verified as well)"
	alwaysVerified = " (the certificate is verified, as Connector/J 5.1, and 8 up to 8.0.12, do unless verifyServerCertificate=false)"
)

// connectorTLS translates Connector/J's options to a value of go-sql-driver's tls.
func connectorTLS(o *options) string {
	mode, hasMode := o.take("sslMode")
	useSSL, hasUse := o.connectorBoolean("useSSL")
	require, _ := o.connectorBoolean("requireSSL")
	verify, hasVerify := o.connectorBoolean("verifyServerCertificate")
	if hasUse && !useSSL && (require || verify) {
		o.t.mistake("useSSL=false contradicts requireSSL or verifyServerCertificate: remove one")
	}

	how := tlsPreferred
	switch {
	case hasUse && !useSSL:
		how = tlsOff
	case (useSSL || require) && (verify || !hasVerify) || verify:
		how = tlsVerified
	case useSSL || require:
		// Connector/J continues without TLS if the server does not support it, even
		// with useSSL=true.
		how = tlsRequired
	}
	remark := ""
	switch {
	case verify:
		remark = "verifyServerCertificate, that is VERIFY_CA" + hostVerified
	case how == tlsVerified && useSSL:
		remark = "useSSL" + alwaysVerified
	case how == tlsVerified:
		remark = "requireSSL" + alwaysVerified
	}
	if hasMode {
		if said := sslModes(mode, o); o.class == &connectorJ8 {
			// Only a version with sslMode has this option.
			if said < tlsRequired && (require || verify || useSSL && said == tlsOff) {
				o.t.mistake("sslMode allows connections without TLS and another option asks for TLS: remove one")
			}
			if !verify || said >= tlsVerified {
				how, remark = said, ""
			}
		} else if said >= how {
			how, remark = said, ""
		} else {
			remark = "sslMode (Connector/J 5.1 does not support it)"
		}
		if remark == "" && strings.EqualFold(mode, "VERIFY_CA") {
			remark = "sslMode=VERIFY_CA" + hostVerified
		}
	}
	if remark != "" {
		o.t.ignore(remark)
	}
	if how == tlsOff {
		o.drop("trustCertificateKeyStoreUrl", "trustCertificateKeyStoreType",
			"trustCertificateKeyStorePassword",
			"clientCertificateKeyStoreUrl", "clientCertificateKeyStoreType",
			"clientCertificateKeyStorePassword",
			"fallbackToSystemTrustStore", "keyStoreProvider", "keyManagerFactoryProvider",
			"trustManagerFactoryProvider",
			"sslContextProvider", "tlsCiphersuites")
	}
	if how <= tlsPreferred {
		refusePlainKey(o)
	}
	tlsVersions(o, how, "tlsVersions")
	return tlsNames[how]
}

// connectorBoolean takes an option that is true or false.
func (o *options) connectorBoolean(name string) (value, ok bool) {
	return o.boolean(name, []string{"true", "yes"}, no)
}

func sslModes(mode string, o *options) int {
	switch strings.ToUpper(mode) {
	case "DISABLED":
		return tlsOff
	case "PREFERRED":
		return tlsPreferred
	case "REQUIRED":
		return tlsRequired
	case "VERIFY_CA", "VERIFY_IDENTITY":
		return tlsVerified
	}
	o.t.mistake("sslMode has a value that Connector/J does not accept")
	return tlsVerified
}

// The boolean values of MariaDB's driver.
var (
	mariadbYes   = []string{"true", "1", ""}
	mariadbNo    = []string{"false", "0"}
	mariadbPlain = []string{"disable", "disabled", "0", "false"}
)

// mariadbTLS translates the options of MariaDB's driver to a value of go-sql-driver's
// tls. Version 2 has only useSsl. Version 3 also has sslMode, which useSsl
// overrides.
func mariadbTLS(o *options) string {
	mode, hasMode := o.take("sslMode")
	useSSL, _ := o.boolean("useSsl", mariadbYes, mariadbNo)
	trust := isSetInMariaDB(o, "trustServerCertificate")
	noName := isSetInMariaDB(o, "disableSslHostnameVerification")
	how, remark := tlsOff, ""
	switch {
	case useSSL && trust:
		how = tlsRequired
	case useSSL:
		how = tlsVerified
		if noName {
			remark = "disableSslHostnameVerification, that is verify-ca" + hostVerified
		}
	}
	if hasMode {
		said := mariadbMode(mode, o)
		if useSSL && said == tlsOff {
			o.t.mistake("sslMode and useSsl contradict each other: remove one")
		}
		if said >= how {
			how, remark = said, ""
			if matchesAny(mode, []string{"verify-ca", "verify_ca"}) {
				remark = "sslMode=verify-ca" + hostVerified
			}
		} else {
			remark = "sslMode (useSsl, which is stricter, decides)"
		}
	}
	if remark != "" {
		o.t.ignore(remark)
	}
	if how == tlsOff {
		o.drop("serverSslCert", "keyStore", "keyStorePassword", "keyStoreType", "keyPassword",
			"trustStore",
			"trustStorePassword", "trustStoreType", "fallbackToSystemTrustStore", "fallbackToSystemKeyStore",
			"enabledSslCipherSuites")
		refusePlainKey(o)
	}
	tlsVersions(o, how, "enabledSslProtocolSuites")
	return tlsNames[how]
}

// isSetInMariaDB takes an option that makes a connection less secure, and reports
// whether all versions read it as true. Version 3 requires small letters.
func isSetInMariaDB(o *options, name string) bool {
	v, _ := o.lookup(name)
	yes, ok := o.boolean(name, mariadbYes, mariadbNo)
	if yes && !slices.Contains(mariadbYes, v) {
		o.t.ignore(name + " (version 3 of MariaDB's driver only accepts it in small letters)")
		return false
	}
	return ok && yes
}

func mariadbMode(mode string, o *options) int {
	switch strings.ToLower(mode) {
	case "disable", "disabled", "0", "false":
		return tlsOff
	case "trust", "required":
		return tlsRequired
	case "verify-ca", "verify_ca", "verify-full", "verify_full", "verify_identity", "1", "true":
		return tlsVerified
	}
	o.t.mistake("sslMode has a value that MariaDB's driver does not accept")
	return tlsVerified
}

// refusePlainKey refuses allowPublicKeyRetrieval=false without TLS, when the Go driver
// encrypts a caching_sha2_password login with any key that the server sends.
func refusePlainKey(o *options) {
	if v, ok := o.lookup("allowPublicKeyRetrieval"); ok && !strings.EqualFold(v, "true") {
		o.drop("allowPublicKeyRetrieval")
		o.t.ignore("allowPublicKeyRetrieval=false")
	}
}

// tlsVersions checks a list of TLS versions. The Go driver supports 1.2 and 1.3.
func tlsVersions(o *options, how int, name string) {
	list, ok := o.take(name)
	if !ok || how == tlsOff || list == "" {
		return
	}
	only12 := false
	for v := range strings.SplitSeq(list, ",") {
		only12 = only12 || strings.EqualFold(strings.TrimSpace(v), "TLSv1.2")
	}
	if !only12 {
		o.t.refuse(name + ": the Go driver speaks TLS 1.2 and 1.3, and cannot exclude 1.2")
	}
}
