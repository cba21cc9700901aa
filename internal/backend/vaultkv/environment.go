package vaultkv

import (
	"cmp"
	"encoding/json"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/vault/api"
	"golang.org/x/net/http/httpguts"

	"github.com/seed74218947/secretref/internal/fault"
)

// setting is an option that a variable stands in for.
type setting struct{ explicit, option, variable string }

func (s setting) value() string { return cmp.Or(s.explicit, os.Getenv(s.variable)) }

// source returns where the value is from.
func (s setting) source() string {
	if s.explicit != "" {
		return s.option + " in place of " + s.variable
	}
	return s.variable
}

// check refuses what can be in no name or path of Vault's: a line break within,
// above all. Its error never quotes the value.
func (s setting) check() error {
	if strings.ContainsFunc(strings.TrimSpace(s.value()), unicode.IsControl) {
		return fault.New(fault.Unauthenticated, "%s holds a line break or another control character", s.source())
	}
	return nil
}

// checkHeaders refuses what would go into every request and cannot be sent in
// one: net/http would fail each of them as if there was no answer.
func checkHeaders(namespace setting) error {
	if !httpguts.ValidHeaderFieldValue(namespace.value()) {
		return fault.New(fault.Unauthenticated, "%s holds a line break, or another character that cannot be sent", namespace.source())
	}
	if strings.ContainsFunc(os.Getenv(api.EnvVaultTLSServerName), unicode.IsControl) {
		return settingError("%s holds a line break or another control character", api.EnvVaultTLSServerName)
	}
	var headers map[string]any
	if json.Unmarshal([]byte(os.Getenv(api.EnvVaultHeaders)), &headers) != nil {
		return nil // there are none, or badEnvironment says why not
	}
	for name, value := range headers {
		if text, ok := value.(string); ok && (!httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text)) {
			return fault.New(fault.Unauthenticated, "a header in %s holds a line break, or another character that cannot be sent", api.EnvVaultHeaders)
		}
	}
	return nil
}

// environmentError names the variable that Vault's client stumbled over. The
// client parses those that are not used, too, and what it says may quote their
// values.
func environmentError(cause error) error {
	if err := variableError(); err != nil {
		return err
	}
	// These name themselves, where their value is not one.
	for _, name := range []string{api.EnvVaultClientTimeout, api.EnvRateLimit, api.EnvVaultHeaders} {
		if cause != nil && os.Getenv(name) != "" && strings.Contains(cause.Error(), name) {
			return settingError("%s is not what the Vault client reads there", name)
		}
	}
	if os.Getenv(api.EnvVaultHeaders) != "" {
		return settingError("%s is not a JSON object of texts, or names a header that begins with X-Vault-", api.EnvVaultHeaders)
	}
	return settingError("the Vault client cannot be set up: one of the variables that begin with VAULT_ does not hold what it reads there")
}

func settingError(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...).Permanently()
}

// variableError parses as Vault's client does.
func variableError() error {
	for _, name := range []string{api.EnvVaultSkipVerify, api.EnvVaultSRVLookup, api.EnvVaultDisableRedirects} {
		if text := os.Getenv(name); text != "" {
			if _, err := strconv.ParseBool(text); err != nil {
				return settingError("%s is neither \"true\" nor \"false\"", name)
			}
		}
	}
	if text := os.Getenv(api.EnvVaultMaxRetries); text != "" {
		if _, err := strconv.ParseUint(text, 10, 32); err != nil {
			return settingError("%s is not a number", api.EnvVaultMaxRetries)
		}
	}
	for _, name := range []string{api.EnvVaultProxyAddr, api.EnvHTTPProxy} {
		if text := os.Getenv(name); text != "" {
			if _, err := url.Parse(text); err != nil {
				return settingError("%s is not a URL", name)
			}
		}
	}
	return certificateError()
}

// certificateError tries the files that the variables name one by one.
func certificateError() error {
	cert, key := os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey)
	if (cert == "") != (key == "") {
		return settingError("%s and %s go together: one of them is not set", api.EnvVaultClientCert, api.EnvVaultClientKey)
	}
	for _, c := range []struct {
		names string
		tls   api.TLSConfig
	}{
		{api.EnvVaultClientCert + " or " + api.EnvVaultClientKey, api.TLSConfig{ClientCert: cert, ClientKey: key}},
		{api.EnvVaultCACert, api.TLSConfig{CACert: os.Getenv(api.EnvVaultCACert)}},
		{api.EnvVaultCACertBytes, api.TLSConfig{CACertBytes: []byte(os.Getenv(api.EnvVaultCACertBytes))}},
		{api.EnvVaultCAPath, api.TLSConfig{CAPath: os.Getenv(api.EnvVaultCAPath)}},
	} {
		// The configuration has an error, but a client to try them with.
		if err := api.DefaultConfig().ConfigureTLS(&c.tls); err != nil {
			return settingError("%s: it does not lead to a certificate or key that can be read", c.names)
		}
	}
	return nil
}
