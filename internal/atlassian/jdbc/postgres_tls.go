package jdbc

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const sslPackage = "org.postgresql.ssl."

// postgresTLS writes the TLS settings, which are at least as secure as those of the
// URL.
func postgresTLS(o *options, dsn *postgresURL) {
	factory, hasFactory := o.take("sslfactory")
	mode := sslMode(o, factory == sslPackage+"NonValidatingFactory")
	root, _ := o.take("sslrootcert")
	verify := mode == "verify-ca" || mode == "verify-full"
	switch factory {
	case "", sslPackage + "LibPQFactory", sslPackage + "jdbc4.LibPQFactory":
	case sslPackage + "NonValidatingFactory", sslPackage + "jdbc4.NonValidatingFactory":
		if verify {
			o.t.ignore("sslfactory (the certificate is verified according to sslmode)")
		}
	case sslPackage + "DefaultJavaSSLFactory":
		// It verifies in every mode. With the system's certificates instead of
		// Java's, only verification of the host name is secure.
		if mode != "disable" {
			mode, root, verify = "verify-full", "system", true
			o.t.ignore("sslfactory (the system's certificates are trusted instead of Java's)")
		}
	default:
		if hasFactory && mode != "disable" {
			o.t.refuse("sslfactory: a Java class decides whom to trust")
		}
	}
	if mode == "disable" {
		o.drop("sslfactoryarg", "sslhostnameverifier", "sslpasswordcallback", "sslcert", "sslkey",
			"sslpassword", "sslNegotiation")
	}
	switch {
	case verify && root == "":
		root = defaultRoot(o)
	case !verify && root != "":
		// pgjdbc ignores the file; Go drivers would read it and verify.
		o.t.ignore("sslrootcert (the certificate is not verified below sslmode=verify-ca)")
		root = ""
	}
	dsn.add("sslmode", mode)
	dsn.add("sslrootcert", root)
	clientCertificate(o, dsn)
	// Only if it is set: drivers without this option pass it to the server, which
	// refuses it.
	if v, ok := o.take("sslNegotiation"); ok {
		negotiation := strings.ToLower(v)
		if negotiation != "postgres" && negotiation != "direct" {
			o.t.mistake("sslNegotiation is neither postgres nor direct")
		}
		dsn.add("sslnegotiation", negotiation)
	}
	dsn.add("sslsni", "1")
}

// sslMode returns the mode that sslmode and ssl select.
func sslMode(o *options, nonValidating bool) string {
	mode, hasMode := o.take("sslmode")
	ssl, hasSSL := o.take("ssl")
	mode = strings.ToLower(mode)
	if !hasMode {
		switch strings.ToLower(ssl) {
		case "true", "1", "yes", "": // pgjdbc: "true" and the bare name
			switch {
			case !hasSSL:
				return "prefer"
			case nonValidating:
				return "require"
			}
			return "verify-full"
		case "false", "0", "no":
			return "prefer" // pgjdbc: encrypted if the server supports it
		case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
			// pgjdbc reads this as false, but it is intended as sslmode, as in the
			// vendor's sample. The safer one counts.
			if mode = strings.ToLower(ssl); mode == "disable" || mode == "allow" {
				mode = "prefer"
			}
			return mode
		}
		o.t.mistake("ssl is neither true nor false")
		return ""
	}
	switch mode {
	case "disable", "allow", "prefer":
		// pgjdbc ignores ssl if there is sslmode, so that one has no effect.
		if s := strings.ToLower(ssl); hasSSL && s != "false" && s != mode {
			o.t.mistake("sslmode allows connections without TLS and ssl asks for TLS: remove one")
		}
		return mode
	case "require", "verify-ca", "verify-full":
		return mode
	}
	o.t.mistake("sslmode has a value that pgjdbc does not accept")
	return ""
}

// defaultRoot returns the file in which pgjdbc looks for the trusted authority. pgjdbc
// fails without that file, and so do the Go drivers if the path is written; without it
// they would trust all authorities of the system.
func defaultRoot(o *options) string {
	dir, err := os.UserHomeDir()
	dir = filepath.Join(dir, ".postgresql")
	if runtime.GOOS == "windows" {
		dir, err = os.UserConfigDir()
		dir = filepath.Join(dir, "postgresql")
	}
	if err != nil {
		o.t.refuse("sslrootcert: it is not set, and there is no home directory with .postgresql/root.crt")
		return ""
	}
	return filepath.Join(dir, "root.crt")
}

// clientCertificate writes the certificate for the login. It also writes that there is
// none, since the drivers' default differs from that of pgjdbc, whose key has another
// format.
func clientCertificate(o *options, dsn *postgresURL) {
	cert, hasCert := o.take("sslcert")
	key, hasKey := o.take("sslkey")
	password, hasPassword := o.take("sslpassword")
	switch ext := strings.ToLower(filepath.Ext(key)); {
	case !hasKey && hasCert && cert != "":
		o.t.refuse("sslcert: its key is not set, and pgjdbc's default is in a form that Go does not read; write a PEM file in sslkey")
	case ext == ".pk8" || ext == ".p12" || ext == ".pfx" || ext == ".der":
		o.t.refuse("sslkey: Go reads PEM only (openssl pkey -inform DER converts .pk8, openssl pkcs12 .p12)")
	case key != "" && cert == "":
		o.t.refuse("sslkey: its certificate is not set; add sslcert")
	}
	dsn.add("sslcert", cert)
	dsn.add("sslkey", key)
	if hasPassword && key != "" {
		dsn.add("sslpassword", password)
	}
}
