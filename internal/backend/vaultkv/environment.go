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

// setting is the value of an option, or of a variable if the option is empty.
type setting struct{ explicit, option, variable string }

func (s setting) value() string { return cmp.Or(s.explicit, os.Getenv(s.variable)) }

// source names where the value comes from.
func (s setting) source() string {
	if s.explicit != "" {
		return s.option + " (which overrides " + s.variable + ")"
	}
	return s.variable
}

// check refuses values that no name or path in Vault can have, above all those
// with a line break. Its error does not quote the value.
func (s setting) check() error {
	if strings.ContainsFunc(strings.TrimSpace(s.value()), unicode.IsControl) {
		return fault.New(fault.Unauthenticated,
			"%s contains a line break or another control character", s.source())
	}
	return nil
}

// checkHeaders refuses settings that are part of every request and cannot be sent:
// net/http would fail each request as if there were no answer.
func checkHeaders(namespace setting) error {
	if !httpguts.ValidHeaderFieldValue(namespace.value()) {
		return fault.New(fault.Unauthenticated,
			"%s contains a line break or another character that cannot be sent", namespace.source())
	}
	if strings.ContainsFunc(os.Getenv(api.EnvVaultTLSServerName), unicode.IsControl) {
		return settingError("%s contains a line break or another control character",
			api.EnvVaultTLSServerName)
	}
	var headers map[string]any
	if json.Unmarshal([]byte(os.Getenv(api.EnvVaultHeaders)), &headers) != nil {
		return nil // there are none, or environmentError reports the mistake
	}
	for name, value := range headers {
		text, ok := value.(string)
		if !ok || httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(text) {
			continue
		}
		return fault.New(fault.Unauthenticated,
			"a header in %s contains a line break or another character that cannot be sent",
			api.EnvVaultHeaders)
	}
	return nil
}

// environmentError names the variable because of which Vault's client failed. The
// client also parses variables that are not used here, and the text of its error
// may quote their values.
func environmentError(cause error) error {
	if err := variableError(); err != nil {
		return err
	}
	// The client's errors about these variables contain their names.
	for _, name := range []string{api.EnvVaultClientTimeout, api.EnvRateLimit, api.EnvVaultHeaders} {
		if cause != nil && os.Getenv(name) != "" && strings.Contains(cause.Error(), name) {
			return settingError("the Vault client does not accept the value of %s", name)
		}
	}
	if os.Getenv(api.EnvVaultHeaders) != "" {
		return settingError("%s is not a JSON object of strings, or has a header that begins with "+
			"X-Vault-", api.EnvVaultHeaders)
	}
	return settingError("the Vault client cannot be set up: it does not accept the value of a " +
		"variable that begins with VAULT_")
}

func settingError(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...).Permanently()
}

// variableError parses variables as Vault's client does and returns an error for
// the first that is malformed.
func variableError() error {
	for _, name := range []string{
		api.EnvVaultSkipVerify, api.EnvVaultSRVLookup, api.EnvVaultDisableRedirects,
	} {
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

// certificateError loads the certificates and keys of the variables one by one and
// returns an error for the first that cannot be read.
func certificateError() error {
	cert, key := os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey)
	if (cert == "") != (key == "") {
		return settingError("%s and %s must be set together: one of them is missing",
			api.EnvVaultClientCert, api.EnvVaultClientKey)
	}
	for _, c := range []struct {
		names string
		tls   api.TLSConfig
	}{
		{api.EnvVaultClientCert + " or " + api.EnvVaultClientKey,
			api.TLSConfig{ClientCert: cert, ClientKey: key}},
		{api.EnvVaultCACert, api.TLSConfig{CACert: os.Getenv(api.EnvVaultCACert)}},
		{api.EnvVaultCACertBytes, api.TLSConfig{CACertBytes: []byte(os.Getenv(api.EnvVaultCACertBytes))}},
		{api.EnvVaultCAPath, api.TLSConfig{CAPath: os.Getenv(api.EnvVaultCAPath)}},
	} {
		// DefaultConfig has an error here, but its client is usable.
		if err := api.DefaultConfig().ConfigureTLS(&c.tls); err != nil {
			return settingError("%s: no certificate or key can be read from there", c.names)
		}
	}
	return nil
}
