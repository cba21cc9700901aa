package jdbc

var (
	utf8Names  = []string{"utf8", "utf-8", "utf8mb4", "utf8mb3", "UTF_8"}
	no         = []string{"false", "no"}
	javaBytes  = "it selects the encoding of the password; Go sends it in UTF-8"
	elsewhere  = "it names another server than the URL does"
	serversKey = "the Go driver takes the server's key from the server"
	ciphers    = "the Go driver chooses the ciphers"
)

// connectorJ8 is com.mysql.cj.jdbc.Driver. It trims and decodes names in the URL and
// compares them exactly, but folds those of server, user, password and database. The
// properties override the URL.
var connectorJ8 = class{name: "Connector/J", rules: connectorRules}

// connectorJ5 is com.mysql.jdbc.Driver: Connector/J 5.1, which supports fewer forms of
// URLs and does not trim, decode or fold names, or, in version 8, an alias of
// connectorJ8. Only options that both read in the same way are translated.
var connectorJ5 = class{name: "Connector/J", rules: exactly(connectorRules)}

// exactly returns the rules with names that are not folded.
func exactly(rules []rule) []rule {
	exact := make([]rule, len(rules))
	for i, r := range rules {
		r.fold = false
		exact[i] = r
	}
	return exact
}

var connectorRules = []rule{
	{names: []string{"dbname"}, fold: true, matters: true},
	{names: []string{"host"}, fold: true, matters: true, refuse: elsewhere},
	{names: []string{"port"}, fold: true, matters: true, refuse: elsewhere},
	{names: []string{"protocol"}, fold: true, matters: true, same: []string{"tcp"}, refuse: elsewhere},
	{names: []string{"path", "namedPipePath"}, fold: true, matters: true, refuse: elsewhere},
	{names: []string{"address"}, fold: true, matters: true, refuse: elsewhere},
	{names: []string{"dnsSrv"}, matters: true, same: no, weak: no, refuse: elsewhere},
	{names: []string{"socketFactory"}, matters: true, refuse: opensItself},
	{names: []string{"socksProxyHost"}, matters: true, refuse: opensItself},
	{names: []string{"socksProxyPort"}, matters: true, refuse: opensItself},
	{names: []string{"socksProxyRemoteDns"}, matters: true, refuse: opensItself},
	{names: []string{"junixsocket.file"}, matters: true, refuse: opensItself},
	{names: []string{"propertiesTransform"}, matters: true,
		refuse: "a Java class changes the options"},
	{names: []string{"useConfigs"}, matters: true,
		refuse: "a file in Java's class path has further options"},

	{names: []string{"user"}, fold: true, matters: true},
	{names: []string{"password"}, fold: true, matters: true},
	{names: []string{"password1"}, matters: true, refuse: "the Go driver logs in with one password"},
	{names: []string{"password2"}, matters: true, refuse: "the Go driver logs in with one password"},
	{names: []string{"password3"}, matters: true, refuse: "the Go driver logs in with one password"},
	{names: []string{"passwordCharacterEncoding"}, matters: true, same: utf8Names, weak: utf8Names,
		refuse: javaBytes},
	{names: []string{"authenticationPlugins"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"defaultAuthenticationPlugin"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"disabledAuthenticationPlugins"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"authenticationOpenidConnectCallbackHandler"}, matters: true,
		refuse: goChoosesAuth},
	{names: []string{"authenticationWebAuthnCallbackHandler"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"authenticationFidoCallbackHandler"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"ldapServerHostname"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"ociConfigFile"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"ociConfigProfile"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"idTokenFile"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"serverRSAPublicKeyFile"}, matters: true, refuse: serversKey},
	{names: []string{"allowPublicKeyRetrieval"}, same: []string{anyValue}},

	{names: []string{"sslMode"}, matters: true, weak: []string{"DISABLED", "PREFERRED"}},
	{names: []string{"useSSL"}, matters: true, weak: no},
	{names: []string{"requireSSL"}, matters: true, weak: no},
	{names: []string{"verifyServerCertificate"}, matters: true, weak: no},
	{names: []string{"trustCertificateKeyStoreUrl"}, matters: true, refuse: javaKeyStore},
	{names: []string{"trustCertificateKeyStoreType"}, matters: true, refuse: javaKeyStore},
	{names: []string{"trustCertificateKeyStorePassword"}, matters: true, refuse: javaKeyStore},
	{names: []string{"clientCertificateKeyStoreUrl"}, matters: true, refuse: javaKeyStore},
	{names: []string{"clientCertificateKeyStoreType"}, matters: true, refuse: javaKeyStore},
	{names: []string{"clientCertificateKeyStorePassword"}, matters: true, refuse: javaKeyStore},
	{names: []string{"fallbackToSystemTrustStore"}, matters: true, same: []string{"true", "yes"},
		weak: []string{"true", "yes"}, refuse: javaKeyStore},
	{names: []string{"fallbackToSystemKeyStore"}, same: []string{anyValue}},
	{names: []string{"keyStoreProvider"}, matters: true, refuse: classTrusts},
	{names: []string{"keyManagerFactoryProvider"}, matters: true, refuse: classTrusts},
	{names: []string{"trustManagerFactoryProvider"}, matters: true, refuse: classTrusts},
	{names: []string{"sslContextProvider"}, matters: true, refuse: classTrusts},
	{names: []string{"tlsVersions", "enabledTLSProtocols"}, matters: true},
	{names: []string{"tlsCiphersuites", "enabledSSLCipherSuites"}, matters: true, refuse: ciphers},

	{names: []string{"connectionTimeZone", "serverTimezone"}},
	{names: []string{"characterEncoding"}, same: utf8Names},
	{names: []string{"characterSetResults"}, same: utf8Names},
	{names: []string{"useUnicode"}, same: []string{"true", "yes"}},
	{names: []string{"autoReconnect"}, same: []string{anyValue}},
	{names: []string{"autoReconnectForPools"}, same: []string{anyValue}},
	{names: []string{"tcpKeepAlive"}, same: []string{anyValue}},
	{names: []string{"tcpNoDelay"}, same: []string{anyValue}},
	{names: []string{"allowLoadLocalInfile"}, same: no},
	{names: []string{"createDatabaseIfNotExist"}, same: no},
}

// mariadbJ is org.mariadb.jdbc.Driver. Version 2 compares names exactly, version 3
// folds them, and both have the aliases of Connector/J. Nothing is trimmed or decoded.
// The URL overrides the properties. A name in another letter case has the meaning that
// version 3 gives it.
var mariadbJ = class{name: "MariaDB's driver", emptyWins: true, rules: []rule{
	{names: []string{"localSocket"}, matters: true},
	{names: []string{"pipe"}, matters: true, refuse: elsewhere},
	{names: []string{"sharedMemory"}, matters: true, refuse: elsewhere},
	{names: []string{"socketFactory"}, matters: true, refuse: opensItself},
	{names: []string{"permitMysqlScheme"}, same: []string{anyValue}},

	{names: []string{"user"}, matters: true},
	{names: []string{"password"}, matters: true},
	{names: []string{"password2"}, matters: true, refuse: "the Go driver logs in with one password"},
	{names: []string{"password3"}, matters: true, refuse: "the Go driver logs in with one password"},
	{names: []string{"passwordCharacterEncoding"}, matters: true, same: utf8Names, weak: utf8Names,
		refuse: javaBytes},
	{names: []string{"credentialType"}, matters: true,
		refuse: "the Go driver logs in with user name and password"},
	{names: []string{"restrictedAuth"}, matters: true,
		refuse: "the Go driver logs in with user name and password"},
	{names: []string{"servicePrincipalName"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"jaasApplicationName"}, matters: true, refuse: goChoosesAuth},
	{names: []string{"serverRsaPublicKeyFile"}, matters: true, refuse: serversKey},
	{names: []string{"allowPublicKeyRetrieval"}, same: []string{anyValue}},

	{names: []string{"sslMode"}, matters: true, weak: mariadbPlain},
	{names: []string{"useSsl", "useSSL"}, matters: true, weak: mariadbNo},
	{names: []string{"trustServerCertificate"}, matters: true, weak: []string{anyValue}},
	{names: []string{"disableSslHostnameVerification"}, matters: true, weak: []string{anyValue}},
	{names: []string{"serverSslCert"}, matters: true,
		refuse: "the Go driver trusts the system's certificates only"},
	{names: []string{"trustStore", "trustCertificateKeyStoreUrl"}, matters: true,
		refuse: javaKeyStore},
	{names: []string{"trustStoreType", "trustCertificateKeyStoreType"}, matters: true,
		refuse: javaKeyStore},
	{names: []string{"trustStorePassword", "trustCertificateKeyStorePassword"}, matters: true,
		refuse: javaKeyStore},
	{names: []string{"keyStore", "clientCertificateKeyStoreUrl"}, matters: true, refuse: javaKeyStore},
	{names: []string{"keyStoreType", "clientCertificateKeyStoreType"}, matters: true,
		refuse: javaKeyStore},
	{names: []string{"keyStorePassword", "clientCertificateKeyStorePassword"}, matters: true,
		refuse: javaKeyStore},
	{names: []string{"keyPassword"}, matters: true, refuse: javaKeyStore},
	{names: []string{"fallbackToSystemTrustStore"}, matters: true, same: []string{"true", "1", ""},
		weak: []string{"true", "1", ""}, refuse: javaKeyStore},
	{names: []string{"fallbackToSystemKeyStore"}, matters: true, same: []string{"true", "1", ""},
		weak: []string{"true", "1", ""}, refuse: javaKeyStore},
	{names: []string{"tlsSocketType"}, matters: true, refuse: "a Java class makes the connection"},
	{names: []string{"enabledSslProtocolSuites"}, matters: true},
	{names: []string{"enabledSslCipherSuites", "enabledSSLCipherSuites"}, matters: true,
		refuse: ciphers},

	{names: []string{"connectionTimeZone", "timezone", "serverTimezone"}},
	{names: []string{"useUnicode"}, same: []string{anyValue}},
	{names: []string{"characterEncoding"}, same: utf8Names},
	{names: []string{"autoReconnect"}, same: []string{anyValue}},
	{names: []string{"tcpKeepAlive"}, same: []string{anyValue}},
	{names: []string{"tcpNoDelay"}, same: []string{anyValue}},
	{names: []string{"allowLocalInfile"}, same: mariadbNo},
	{names: []string{"createDatabaseIfNotExist", "createDB"}, same: mariadbNo},
}}
