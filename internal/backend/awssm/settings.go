package awssm

import (
	"os"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// unsendableText completes a sentence about a value that cannot be sent.
const unsendableText = "contains a newline, a space or another character that cannot be sent"

// hasUnsendable reports whether a value cannot be part of a request, for example
// because it ends in the newline of a file or was pasted from a document.
func hasUnsendable(value string) bool {
	return strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' })
}

// unsendableVariable returns the first of the variables whose value cannot be
// sent, or "".
func unsendableVariable(names ...string) string {
	for _, name := range names {
		if hasUnsendable(os.Getenv(name)) {
			return name
		}
	}
	return ""
}

// checkCredentials refuses credentials that cannot be sent. net/http and AWS would
// refuse them too, without naming their source.
func (c *chain) checkCredentials(found aws.Credentials) error {
	type key struct{ variables, profile, words string }
	for _, k := range []struct {
		key
		bad bool
	}{
		{key{"AWS_ACCESS_KEY_ID AWS_ACCESS_KEY", "aws_access_key_id", "access key ID"},
			hasUnsendable(found.AccessKeyID)},
		// The secret access key is not sent, so it may contain spaces.
		{key{"AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY", "aws_secret_access_key", "secret access key"},
			found.SecretAccessKey != strings.TrimSpace(found.SecretAccessKey) ||
				strings.ContainsFunc(found.SecretAccessKey, unicode.IsControl)},
		{key{"AWS_SESSION_TOKEN", "aws_session_token", "session token"},
			hasUnsendable(found.SessionToken)},
	} {
		if k.bad {
			return fault.New(fault.Unauthenticated, "%s %s",
				c.locationOf(found.Source, k.variables, k.profile, k.words), unsendableText)
		}
	}
	return nil
}

// locationOf names where a key was set, without its value.
func (c *chain) locationOf(source, variables, profile, words string) string {
	file, shared := strings.CutPrefix(source, "SharedConfigCredentials: ")
	switch {
	case c.fromCaller:
		return "the " + words + " of the given aws.Config"
	case source == config.CredentialsSourceName:
		for name := range strings.FieldsSeq(variables) {
			if os.Getenv(name) != "" {
				return name
			}
		}
	case shared:
		return profile + " in " + fault.SafePath(file)
	case c.credentialSource != "":
		return "the " + words + " of " + c.credentialSource
	}
	return "the " + words
}

// maxTokenFile limits the size of a token file, in bytes.
const maxTokenFile = 1 << 20

// settingMistake describes what is wrong with the settings of a credential source.
// It returns "" if nothing is.
func (e *chainError) settingMistake(source string) string {
	c := e.chain
	switch source {
	case containerSource:
		name := unsendableVariable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
			"AWS_CONTAINER_CREDENTIALS_FULL_URI")
		if name != "" {
			return name + " " + unsendableText
		}
		const fileVariable = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
		if path := os.Getenv(fileVariable); path != "" {
			return tokenFileMistake(path, "the container's authorization token", fileVariable)
		}
		if name := unsendableVariable("AWS_CONTAINER_AUTHORIZATION_TOKEN"); name != "" {
			return name + " " + unsendableText
		}
	case metadataSource:
		if name := unsendableVariable("AWS_EC2_METADATA_SERVICE_ENDPOINT"); name != "" {
			return name + " " + unsendableText
		}
	case stsSource:
		if c.tokenFile != "" {
			text := tokenFileMistake(c.tokenFile, "the web identity token",
				"AWS_WEB_IDENTITY_TOKEN_FILE or the profile")
			if text != "" {
				return text
			}
		}
		if c.roleARN != "" && (hasUnsendable(c.roleARN) || !arn.IsARN(c.roleARN)) {
			return c.settingName("AWS_ROLE_ARN", "role_arn", c.roleARN) +
				" is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"
		}
		if name := unsendableVariable("AWS_ENDPOINT_URL_STS", "AWS_ROLE_SESSION_NAME"); name != "" {
			return name + " " + unsendableText
		}
		if hasUnsendable(c.region) {
			return c.regionSettingName() + " " + unsendableText
		}
	}
	return ""
}

// tokenFileMistake describes what is wrong with a token file. It returns "" if
// nothing is.
func tokenFileMistake(path, what, setting string) string {
	if !canRead(path) {
		return "cannot read " + what + " " + fault.SafePath(path) + ", which " + setting + " names"
	}
	token, err := secfile.Read(path, maxTokenFile)
	if err == nil && hasUnsendable(string(token)) {
		return what + " in " + fault.SafePath(path) + ", which " + setting + " names, " +
			unsendableText
	}
	return ""
}

// settingName names where a value was set.
func (c *chain) settingName(variable, profile, value string) string {
	if os.Getenv(variable) == value {
		return variable
	}
	return profile + " of the AWS profile"
}

// regionSettingName names where the region for STS was set.
func (c *chain) regionSettingName() string {
	if os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == c.region {
		return "AWS_DEFAULT_REGION"
	}
	return c.settingName("AWS_REGION", "region", c.region)
}
