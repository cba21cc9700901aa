package jdbc

const (
	withPassword = "the Go driver's data source logs in with user name and password"
	noClientCert = "the Go driver does not log in with a certificate"
	goSetting    = "in Go this is a setting of the program (GODEBUG=fips140)"
	noDomain     = "the Go driver does not log in to a Windows domain as jTDS does"
)

// microsoft is com.microsoft.sqlserver.jdbc.SQLServerDriver. It trims and folds names,
// and ignores unknown ones. The properties override the URL.
var microsoft = class{name: "Microsoft's driver", fold: true, rules: []rule{
	{names: []string{"serverName", "server"}, matters: true},
	{names: []string{"instanceName"}, matters: true},
	{names: []string{"portNumber", "port"}, matters: true},
	{names: []string{"databaseName", "database"}, matters: true},
	{names: []string{"socketFactoryClass"}, matters: true, refuse: opensItself},
	{names: []string{"socketFactoryConstructorArg"}, matters: true, refuse: opensItself},

	{names: []string{"user", "userName"}, matters: true},
	{names: []string{"password"}, matters: true},
	{names: []string{"authentication"}, matters: true,
		same: []string{"SqlPassword", "NotSpecified", ""}, refuse: withPassword},
	{names: []string{"integratedSecurity"}, matters: true, same: []string{"false"},
		refuse: withPassword},
	{names: []string{"authenticationScheme"}, matters: true, same: []string{"NativeAuthentication"},
		refuse: withPassword},
	{names: []string{"accessToken"}, matters: true, same: []string{""}, refuse: withPassword},
	{names: []string{"accessTokenCallbackClass"}, matters: true, same: []string{""},
		refuse: withPassword},
	{names: []string{"domain", "domainName"}, matters: true, same: []string{""}, refuse: withPassword},
	{names: []string{"realm"}, matters: true, same: []string{""}, refuse: withPassword},
	{names: []string{"serverSpn"}, matters: true, same: []string{""}, refuse: withPassword},
	{names: []string{"jaasConfigurationName"}, refuse: withPassword},
	{names: []string{"useDefaultJaasConfig"}, refuse: withPassword},
	{names: []string{"useDefaultGSSCredential"}, refuse: withPassword},
	{names: []string{"gsscredential"}, matters: true, refuse: withPassword},
	{names: []string{"msiClientId"}, matters: true, refuse: withPassword},
	{names: []string{"AADSecurePrincipalId"}, matters: true, refuse: withPassword},
	{names: []string{"AADSecurePrincipalSecret"}, matters: true, refuse: withPassword},
	{names: []string{"keyStoreAuthentication"}, refuse: withPassword},
	{names: []string{"keyStorePrincipalId"}, refuse: withPassword},
	{names: []string{"keyStoreSecret"}, refuse: withPassword},
	{names: []string{"keyStoreLocation"}, refuse: withPassword},
	{names: []string{"clientCertificate"}, matters: true, refuse: noClientCert},
	{names: []string{"clientKey"}, matters: true, refuse: noClientCert},
	{names: []string{"clientKeyPassword"}, matters: true, refuse: noClientCert},

	{names: []string{"encrypt"}, matters: true},
	{names: []string{"trustServerCertificate"}, matters: true},
	{names: []string{"hostNameInCertificate"}, matters: true},
	{names: []string{"serverCertificate"}, matters: true},
	{names: []string{"trustStore"}, matters: true, refuse: javaKeyStore},
	{names: []string{"trustStorePassword"}, matters: true, refuse: javaKeyStore},
	{names: []string{"trustStoreType"}, matters: true, refuse: javaKeyStore},
	{names: []string{"trustManagerClass"}, matters: true, refuse: classTrusts},
	{names: []string{"trustManagerConstructorArg"}, matters: true, refuse: classTrusts},
	{names: []string{"fips"}, matters: true, same: []string{"false"}, refuse: goSetting},
	{names: []string{"fipsProvider"}, matters: true, refuse: goSetting},
	{names: []string{"columnEncryptionSetting"}, same: []string{"disabled", "false"}},
	{names: []string{"useBulkCopyForBatchInsert"}, same: []string{"false"}},
}}

// jTDS is net.sourceforge.jtds.jdbc.Driver. It folds names but does not trim them, and
// decodes nothing. The URL overrides the properties.
var jTDS = class{name: "jTDS", fold: true, emptyWins: true, rules: []rule{
	{names: []string{"serverName"}, matters: true},
	{names: []string{"instance"}, matters: true},
	{names: []string{"portNumber"}, matters: true},
	{names: []string{"databaseName"}, matters: true},
	{names: []string{"serverType"}, matters: true, refuse: elsewhere},
	{names: []string{"namedPipe"}, matters: true, same: []string{"false"},
		refuse: "the Go driver speaks TCP"},
	{names: []string{"user"}, matters: true},
	{names: []string{"password"}, matters: true},
	{names: []string{"domain"}, matters: true, refuse: noDomain},
	{names: []string{"useNTLMv2"}, matters: true, same: []string{"false"}, refuse: noDomain},
	{names: []string{"useKerberos"}, matters: true, same: []string{"false"}, refuse: noDomain},
	{names: []string{"ssl"}, matters: true, weak: []string{"", "off"}},
	{names: []string{"socketKeepAlive"}, same: []string{anyValue}},
	{names: []string{"tcpNoDelay"}, same: []string{anyValue}},
	{names: []string{"TDS"}, same: []string{anyValue}},
}}
