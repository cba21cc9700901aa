package jdbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// The passwords of the rows contain these two words, with any text between them.
const first, second = "hunter", "marlin"

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"jdbc:postgresql://db:5432/jira": "jdbc:postgresql://db:5432/jira",
		"jdbc:postgresql://[::1]:5432,db2:5432/jira?a=b":          "jdbc:postgresql://[::1]:5432,db2:5432/jira?a=b",
		"jdbc:postgresql://db/password?ssl=true":                  "jdbc:postgresql://db/password?ssl=true",
		"jdbc:postgresql://db/jira?user=u@tenant&ssl=true":        "jdbc:postgresql://db/jira?user=u@tenant&ssl=true",
		"jdbc:sqlserver://db\\INST:1433;user=u@tenant;x=y":        "jdbc:sqlserver://db\\INST:1433;user=u@tenant;x=y",
		"jdbc:sqlserver://db;authentication=ActiveDirectoryToken": "jdbc:sqlserver://db;authentication=ActiveDirectoryToken",
		"jdbc:oracle:thin:@//db:1521/orcl":                        "jdbc:oracle:thin:@//db:1521/orcl",
		"jdbc:oracle:thin:@//db:1521/orcl?user=u@tenant":          "jdbc:oracle:thin:@//db:1521/orcl?user=u@tenant",
		"jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(HOST=db)))":     "jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(HOST=db)))",
		"jdbc:oracle:thin:scott@//db:1521/orcl":                   "jdbc:oracle:thin:scott@//db:1521/orcl",
		"jdbc:mysql://u@db/jira":                                  "jdbc:mysql://u@db/jira",
		"jdbc:postgresql://db/jira?password=":                     "jdbc:postgresql://db/jira?password=",
		"not a URL at all":                                        "not a URL at all",

		// After a question mark, only & separates.
		"jdbc:postgresql://db/jira?user=u&password=hunter;marlin&ssl=true": "jdbc:postgresql://db/jira?user=u&password=[redacted]&ssl=true",
		"jdbc:postgresql://db/jira?password=hunter,x(marlin?y=z":           "jdbc:postgresql://db/jira?password=[redacted]",
		"jdbc:postgresql://db/jira?password={hunter&ssl=true":              "jdbc:postgresql://db/jira?password=[redacted]&ssl=true",
		"jdbc:postgresql://db/jira?sslpassword=hunter":                     "jdbc:postgresql://db/jira?sslpassword=[redacted]",
		"jdbc:postgresql://db/jira?PASSWORD=hunter":                        "jdbc:postgresql://db/jira?PASSWORD=[redacted]",
		"jdbc:postgresql://db/jira?pass%77ord=hunter":                      "jdbc:postgresql://db/jira?pass%77ord=[redacted]",
		"jdbc:postgresql://db/jira?password = hunter":                      "jdbc:postgresql://db/jira?password =[redacted]",
		"jdbc:postgresql://db/jira?user=u&amp;password=hunter":             "jdbc:postgresql://db/jira?user=u&amp;password=[redacted]",
		"jdbc:postgresql://db/jira?user=u;password=hunter;marlin":          "jdbc:postgresql://db/jira?user=u;password=[redacted]",
		"jdbc:snowflake://db/?private_key_base64=hunter&a=b":               "jdbc:snowflake://db/?private_key_base64=[redacted]&a=b",
		"jdbc:mysql://db/jira?trustCertificateKeyStorePassword=hunter&a=b": "jdbc:mysql://db/jira?trustCertificateKeyStorePassword=[redacted]&a=b",

		// After a semicolon, only semicolons do.
		"jdbc:sqlserver://db:1433;databaseName=jira;user=u;password=hunter&x=marlin;a=b": "jdbc:sqlserver://db:1433;databaseName=jira;user=u;password=[redacted];a=b",
		"jdbc:sqlserver://db;password=hunter?marlin":                                     "jdbc:sqlserver://db;password=[redacted]",
		"jdbc:sqlserver://db;user=u;password={hunter;marlin};a=b":                        "jdbc:sqlserver://db;user=u;password=[redacted];a=b",
		"jdbc:sqlserver://db;user=u;password={hunter}};marlin};a=b":                      "jdbc:sqlserver://db;user=u;password=[redacted];a=b",
		"jdbc:sqlserver://db;password={hunter;a=b":                                       "jdbc:sqlserver://db;password=[redacted]",
		"jdbc:h2:file:/var/db;PASSWORD=hunter marlin":                                    "jdbc:h2:file:/var/db;PASSWORD=[redacted]",
		`jdbc:h2:mem:x;INIT=CREATE USER u PASSWORD 'hunter\;marlin';a=b`:                 `jdbc:h2:mem:x;[redacted]`,
		"jdbc:db2://db:50000/jira:user=u;password=hunter;":                               "jdbc:db2://db:50000/jira:user=u;password=[redacted];",
		"jdbc:db2://db:50000/jira:password=hunter;user=u;":                               "jdbc:db2://db:50000/jira:password=[redacted];user=u;",

		// User info.
		"jdbc:mysql://u:hunter@db:3306/jira?useSSL=false":     "jdbc:mysql://u:[redacted]@db:3306/jira?useSSL=false",
		"jdbc:mysql://u:hun/hunter@marlin@db/jira":            "jdbc:mysql://u:[redacted]@db/jira",
		"jdbc:mysql://u:hunter@db1,u:marlin@db2/jira":         "jdbc:mysql://u:[redacted]@db2/jira",
		"jdbc:mysql://u:hunter?marlin@db/jira":                "jdbc:mysql://u:[redacted]@db/jira",
		"jdbc:mysql://u:hunter(]?marlin@db/jira":              "jdbc:mysql://u:[redacted]@db/jira",
		"jdbc:mysql://u:hunter@;marlin@db/jira?a=b":           "jdbc:mysql://u:[redacted]@db/jira?a=b",
		"jdbc:mysql://u:hunter@db/jira?user=u@tenant":         "jdbc:mysql://u:[redacted]@db/jira?user=u@tenant",
		"jdbc:mysql://u:12?marlin@db/jira":                    "jdbc:mysql://u:[redacted]@db/jira",
		"jdbc:mysql://u:hunter;marlin@db/jira":                "jdbc:mysql://u:[redacted]@db/jira",
		"jdbc:oracle:thin:scott/hunter@//db:1521/orcl":        "jdbc:oracle:thin:scott/[redacted]@//db:1521/orcl",
		"jdbc:oracle:thin:scott/hunter@db:1521:orcl":          "jdbc:oracle:thin:scott/[redacted]@db:1521:orcl",
		"jdbc:oracle:thin:scott/hunter:marlin@//db:1521/orcl": "jdbc:oracle:thin:scott/[redacted]@//db:1521/orcl",
		"jdbc:oracle:thin:scott/hunter//marlin@db:1521:orcl":  "jdbc:oracle:thin:scott/[redacted]@db:1521:orcl",
		`jdbc:oracle:oci:scott/"hunter@marlin?;"@db`:          "jdbc:oracle:oci:scott/[redacted]@db",
		"jdbc:oracle:thin:scott/hunter://marlin@db":           "jdbc:oracle:thin:scott/[redacted]@db",
		"jdbc:other:u:hunter/marlin@db":                       "jdbc:other:u:[redacted]@db",
		"jdbc:other:u/hunter@//db":                            "jdbc:other:u/[redacted]@//db",

		// MySQL's forms of a host.
		"jdbc:mysql://address=(host=db)(user=u)(password=hunter)(port=1)/jira": "jdbc:mysql://address=(host=db)(user=u)(password=[redacted])(port=1)/jira",
		"jdbc:mysql://address=(host=db)(password=hunter)marlin)(port=1)/jira":  "jdbc:mysql://address=(host=db)(password=[redacted])(port=1)/jira",
		"jdbc:mysql://(host=db,password=hunter,marlin,user=u)/jira?a=b":        "jdbc:mysql://(host=db,password=[redacted],user=u)/jira?a=b",
		"jdbc:mysql://(password=hunter,a=b),(password=marlin,a=c)/jira":        "jdbc:mysql://(password=[redacted],a=b),(password=[redacted],a=c)/jira",
	} {
		got := jdbc.Mask(in)
		require.Equal(t, want, got, in)
		require.NotContains(t, got, first)
		require.NotContains(t, got, second)
	}
}

// TestMaskOptions checks that options with secrets are masked in every form of name
// and value that a driver accepts, and that those that only locate one are not.
func TestMaskOptions(t *testing.T) {
	forms := map[string][]string{ // the name, then the value
		"jdbc:postgresql://db/x?a=b&": {"%s=%s&c=d"},
		"jdbc:mysql://db/x?a=b&":      {"%s=%s&c=d", " %s = %s&c=d"},
		"jdbc:mariadb://db/x?a=b&":    {"%s=%s&c=d"},
		"jdbc:sqlserver://db;a=b;": {"%s=%s;c=d", " %s = %s;c=d", "%s={%s;marlin};c=d",
			"%s = {%s}};marlin} ;c=d", "%s=x{%s;marlin};c=d"},
		"jdbc:jtds:sqlserver://db;": {"%s=%s;c=d"},
	}
	for prefix, names := range map[string]struct{ secret, shown []string }{
		"jdbc:postgresql://db/x?a=b&": {
			secret: []string{"password", "sslpassword"},
			shown: []string{"user", "sslkey", "sslcert", "sslrootcert", "sslpasswordcallback",
				"pemKeyAlgorithm", "tcpKeepAlive", "authenticationPluginClassName"},
		},
		"jdbc:mysql://db/x?a=b&": {
			secret: []string{"password", "password1", "password2", "password3",
				"trustCertificateKeyStorePassword", "clientCertificateKeyStorePassword",
				"xdevapi.ssl-keystore-password", "xdevapi.ssl-truststore-password"},
			shown: []string{"user", "serverRSAPublicKeyFile", "allowPublicKeyRetrieval",
				"passwordCharacterEncoding", "disconnectOnExpiredPasswords",
				"trustCertificateKeyStoreUrl", "trustCertificateKeyStoreType", "clientCertificateKeyStoreUrl",
				"clientCertificateKeyStoreType",
				"fallbackToSystemKeyStore", "keyStoreProvider", "keyManagerFactoryProvider", "idTokenFile",
				"xdevapi.ssl-keystore",
				"xdevapi.ssl-keystore-type", "compensateOnDuplicateKeyUpdateCounts",
				"dontCheckOnDuplicateKeyUpdateInSQL"},
		},
		"jdbc:mariadb://db/x?a=b&": {
			secret: []string{"password", "trustStorePassword", "keyStorePassword", "keyPassword",
				"trustCertificateKeyStorePassword", "clientCertificateKeyStorePassword"},
			shown: []string{"user", "keyStore", "keyStoreType", "trustStore", "serverSslCert",
				"serverRsaPublicKeyFile"},
		},
		"jdbc:sqlserver://db;a=b;": {
			secret: []string{"password", "trustStorePassword", "keyStoreSecret", "keyVaultProviderClientKey",
				"AADSecurePrincipalSecret", "accessToken", "clientKeyPassword"},
			shown: []string{"user", "clientKey", "clientCertificate", "keyStoreAuthentication",
				"keyStorePrincipalId", "keyStoreLocation", "keyVaultProviderClientId",
				"AADSecurePrincipalId", "accessTokenCallbackClass", "trustStore", "authentication"},
		},
		"jdbc:jtds:sqlserver://db;": {secret: []string{"password"},
			shown: []string{"user", "socketKeepAlive", "domain"}},
	} {
		names.secret = append(names.secret, "dbPass", "pwd", "myPassPhrase", "clientSecret",
			"sessionToken", "encryption_key", "apiKey", "key") // unknown ones
		for _, form := range forms[prefix] {
			for _, name := range names.secret {
				for _, written := range []string{name, strings.ToUpper(name), strings.ToLower(name),
					fmt.Sprintf("%%%02x%s", name[0], name[1:]),
					fmt.Sprintf("%s%%%02X", name[:len(name)-1], name[len(name)-1])} {
					got := jdbc.Mask(prefix + fmt.Sprintf(form, written, first))
					require.NotContains(t, got, first, written)
					require.NotContains(t, got, second, written)
					require.Contains(t, got, "c=d", written)
				}
			}
		}
		for _, name := range names.shown {
			url := prefix + name + "=shown"
			require.Equal(t, url, jdbc.Mask(url))
		}
	}
	require.NotContains(t, jdbc.Mask("jdbc:jtds:sqlserver://db;paſſword=hunter"), first,
		"jTDS takes it for S")
	require.NotContains(t, jdbc.Mask("jdbc:h2:mem:x;INIT=CREATE+USER+u+PASSWORD+'hunter'"), first)
}

// With quadratic time TestMaskLongURL would take hours.
func TestMaskLongURL(t *testing.T) {
	size := 4 << 20
	if testing.Short() {
		size = 1 << 18
	}
	for _, part := range []string{"=", "a=", ",", "(password=hunter)", "?", ";password={", "@",
		"//", ":"} {
		masked := jdbc.Mask("jdbc:mysql://(" + strings.Repeat(part, size/len(part)))
		require.NotContains(t, masked, first, part)
	}
}

// FuzzMask checks that a password after its name, up to the separator of parameters, is
// hidden in any URL.
func FuzzMask(f *testing.F) {
	for _, s := range []string{"", "x", "a;b", "{a}}", "(a)", "u:p@h", "?", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, password string) {
		secret := first + password + second
		require.NotContains(t,
			jdbc.Mask("jdbc:postgresql://db/jira?a=b&password="+strings.ReplaceAll(secret, "&", "")+
				"&c=d"), second)
		require.NotContains(t,
			jdbc.Mask("jdbc:sqlserver://db;a=b;password="+strings.ReplaceAll(secret, ";", "")+
				";c=d"), second)
		require.NotContains(t,
			jdbc.Mask("jdbc:sqlserver://db;a=b;password={"+strings.ReplaceAll(secret, "}", "}}")+
				"};c=d"), second)
		require.NotContains(t,
			jdbc.Mask("jdbc:sqlserver://db;a=b; KeyVaultProviderClientKey = {"+
				strings.ReplaceAll(secret, "}", "}}")+"} ;c=d"), second)
		require.NotContains(t, jdbc.Mask("jdbc:oracle:thin:scott/"+secret+"@//db:1521/orcl"), second)
		require.NotContains(t,
			jdbc.Mask("jdbc:mysql://u:"+strings.ReplaceAll(secret, "=", "")+"@db/jira"), second)
	})
}

// TestMaskSeparatorInPassword has passwords with unescaped separators.
func TestMaskSeparatorInPassword(t *testing.T) {
	for _, u := range []string{
		"jdbc:h2:file:/x;USER=u;PASSWORD=a@hunter", "jdbc:h2:/x;PASSWORD=a@b@hunter",
		"jdbc:hsqldb:x;password=a@hunter", "jdbc:db2://h:1/d:password=a@hunter;",
		"jdbc:mysql://h/d#password=a@hunter",
		"jdbc:postgresql:d?password=a@hunter", "jdbc:postgresql://h/d?password=a&hunter",
		"jdbc:mysql://h/d?user=u&password=a&hunter&useSSL=true", "jdbc:sqlserver://h;pwd=a;hunter",
		"jdbc:sqlserver://h;user=u;PassWord = a;hunter ;encrypt=true",
		"jdbc:mysql://(host=h,password=a?hunter,port=1)/d",
		"jdbc:mysql://address=(host=h)(password=a;hunter)(port=3)/d",
		"jdbc:oracle:thin:@(DESCRIPTION=(SECURITY=(PASSWORD=a;hunter)))",
		"jdbc:mysql://h/d#password=a;hunter", "jdbc:postgresql://u:?=hunter@h/d", "//u:hunter@h/d",
		"u:hunter@h:5432/d",
		"jdbc:mysql://h/d?\uff50assword=hunter", "jdbc:trino://h/d?jwt=hunter",
		"jdbc:mysql://u:password=a@hunter@h/d",
	} {
		require.NotContains(t, jdbc.Mask(u), "hunter", u)
	}
	for u, want := range map[string]string{
		"jdbc:mysql://h/d?password=a&hunter&useSSL=true": "jdbc:mysql://h/d?password=[redacted]&[redacted]&useSSL=true",
		"jdbc:mysql://(host=h,password=a)/d?useSSL":      "jdbc:mysql://(host=h,password=[redacted])/d?useSSL",
		"jdbc:sqlserver://h;password=a;":                 "jdbc:sqlserver://h;password=[redacted];",
		"jdbc:postgresql://h/d?user=a@b&ssl":             "jdbc:postgresql://h/d?user=a@b&ssl",
	} {
		require.Equal(t, want, jdbc.Mask(u))
	}
}
