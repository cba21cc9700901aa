package jdbc

const (
	opensItself   = "Go opens the connection itself"
	classTrusts   = "a Java class decides whom to trust"
	goChoosesAuth = "the Go driver chooses among its own ways to log in"
	javaKeyStore  = "Go does not read a Java key store; the Go driver trusts the system's certificates"
	noGSS         = "the Go driver does not log in with Kerberos or SSPI by itself"
)

// pgjdbc is org.postgresql.Driver. It compares names exactly, without trimming or
// decoding those of the URL. Only host, port and dbname, in the URL since version 42.3,
// are folded. The URL overrides the properties.
var pgjdbc = class{name: "pgjdbc", emptyWins: true, rules: []rule{
	{names: []string{"PGHOST"}, matters: true},
	{names: []string{"PGPORT"}, matters: true},
	{names: []string{"PGDBNAME"}, matters: true},
	{names: []string{"host"}, fold: true, matters: true},
	{names: []string{"port"}, fold: true, matters: true},
	{names: []string{"dbname"}, fold: true, matters: true},
	{names: []string{"service"}, matters: true, refuse: "a Java service file names the server"},
	{names: []string{"targetServerType"}, matters: true, weak: []string{"any"}},
	{names: []string{"socketFactory"}, matters: true, refuse: opensItself},
	{names: []string{"socketFactoryArg"}, matters: true, refuse: opensItself},

	{names: []string{"user"}, matters: true},
	{names: []string{"password"}, matters: true},
	{names: []string{"channelBinding"}, matters: true, weak: []string{"disable", "prefer"}},
	{names: []string{"requireAuth"}, matters: true},
	{names: []string{"authenticationPluginClassName"}, matters: true,
		refuse: "a Java class provides the password"},
	{names: []string{"kerberosServerName"}, matters: true, refuse: noGSS},
	{names: []string{"jaasApplicationName"}, matters: true, refuse: noGSS},
	{names: []string{"jaasLogin"}, matters: true, same: []string{"false"}, weak: []string{"false"},
		refuse: noGSS},
	{names: []string{"gsslib"}, matters: true, refuse: noGSS},
	{names: []string{"useSpnego"}, matters: true, same: []string{"false"}, weak: []string{"false"},
		refuse: noGSS},
	{names: []string{"gssUseDefaultCreds"}, matters: true, same: []string{"false"},
		weak: []string{"false"}, refuse: noGSS},
	{names: []string{"sspiServiceClass"}, matters: true, refuse: noGSS},
	{names: []string{"gssResponseTimeout"}, refuse: noGSS},
	{names: []string{"gssEncMode"}, matters: true, same: []string{"allow", "disable"},
		weak:   []string{"allow", "prefer", "disable"},
		refuse: "the Go driver does not encrypt with GSS"},

	{names: []string{"ssl"}, matters: true, weak: []string{"false"}},
	{names: []string{"sslmode"}, matters: true, weak: []string{"disable", "allow", "prefer"}},
	{names: []string{"sslfactory"}, matters: true},
	{names: []string{"sslfactoryarg"}, matters: true, refuse: classTrusts},
	{names: []string{"sslrootcert"}, matters: true},
	{names: []string{"sslcert"}, matters: true},
	{names: []string{"sslkey"}, matters: true},
	{names: []string{"sslpassword"}, matters: true},
	{names: []string{"sslpasswordcallback"}, matters: true,
		refuse: "a Java class provides the password of the key"},
	{names: []string{"sslhostnameverifier"}, matters: true,
		same: []string{"", sslPackage + "PGjdbcHostnameVerifier"}, refuse: classTrusts},
	{names: []string{"sslNegotiation"}, matters: true, weak: []string{"postgres"}},

	{names: []string{"currentSchema"}, matters: true},
	{names: []string{"options"}, matters: true},
	{names: []string{"readOnly"}, matters: true, weak: []string{"false"}},
	{names: []string{"protocolVersion"}, same: []string{"3"}},
	{names: []string{"socketTimeout"}, same: []string{"0"}},
	{names: []string{"binaryTransfer"}, same: []string{"true"}},
	{names: []string{"loadBalanceHosts"}, same: []string{"false"}},
	{names: []string{"logUnclosedConnections"}, same: []string{"false"}},
	{names: []string{"allowEncodingChanges"}, same: []string{"false"}},
	{names: []string{"tcpKeepAlive"}, same: []string{anyValue}},
	{names: []string{"tcpNoDelay"}, same: []string{anyValue}},
	{names: []string{"assumeMinServerVersion"}, same: []string{anyValue}},
	{names: []string{"readOnlyMode"}, same: []string{anyValue}},
}}
