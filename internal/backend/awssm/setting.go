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

// unsendableText says what an unsendable value has.
const unsendableText = "holds a newline, a space or another character that cannot be sent"

// unsendable reports whether a value cannot be part of a request: what was read
// from a file with its newline, say, or pasted from a document.
func unsendable(value string) bool {
	return strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' })
}

// unsendableVariable returns the first of the variables whose value is
// unsendable, or "".
func unsendableVariable(names ...string) string {
	for _, name := range names {
		if unsendable(os.Getenv(name)) {
			return name
		}
	}
	return ""
}

// checkKeys refuses credentials that cannot be sent, before net/http or AWS do
// so without naming the place.
func (c *chain) checkKeys(found aws.Credentials) error {
	type key struct{ variables, profile, words string }
	for _, k := range []struct {
		key
		bad bool
	}{
		{key{"AWS_ACCESS_KEY_ID AWS_ACCESS_KEY", "aws_access_key_id", "access key ID"}, unsendable(found.AccessKeyID)},
		{key{"AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY", "aws_secret_access_key", "secret access key"},
			found.SecretAccessKey != strings.TrimSpace(found.SecretAccessKey) || strings.ContainsFunc(found.SecretAccessKey, unicode.IsControl)}, // it is not sent
		{key{"AWS_SESSION_TOKEN", "aws_session_token", "session token"}, unsendable(found.SessionToken)},
	} {
		if k.bad {
			return fault.New(fault.Unauthenticated, "%s %s", c.placeOf(found.Source, k.variables, k.profile, k.words), unsendableText)
		}
	}
	return nil
}

// placeOf names the place of a key, without its value.
func (c *chain) placeOf(source, variables, profile, words string) string {
	file, shared := strings.CutPrefix(source, "SharedConfigCredentials: ")
	switch {
	case c.given:
		return "the " + words + " of the given aws.Config"
	case source == config.CredentialsSourceName:
		for name := range strings.FieldsSeq(variables) {
			if os.Getenv(name) != "" {
				return name
			}
		}
	case shared:
		return profile + " in " + fault.SafePath(file)
	case c.giver != "":
		return "the " + words + " of " + c.giver
	}
	return "the " + words
}

// maxToken bounds the file of a token.
const maxToken = 1 << 20

// localMistake returns what is wrong with the settings by which credentials are
// asked for, or "".
func (e *chainError) localMistake(source string) string {
	c := e.chain
	switch source {
	case containerGiver:
		if name := unsendableVariable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"); name != "" {
			return name + " " + unsendableText
		}
		if path := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			return tokenMistake(path, "the container's authorization token", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
		}
		if name := unsendableVariable("AWS_CONTAINER_AUTHORIZATION_TOKEN"); name != "" {
			return name + " " + unsendableText
		}
	case metadataGiver:
		if name := unsendableVariable("AWS_EC2_METADATA_SERVICE_ENDPOINT"); name != "" {
			return name + " " + unsendableText
		}
	case stsGiver:
		if c.tokenFile != "" {
			if text := tokenMistake(c.tokenFile, "the web identity token", "AWS_WEB_IDENTITY_TOKEN_FILE or the profile"); text != "" {
				return text
			}
		}
		if c.role != "" && (unsendable(c.role) || !arn.IsARN(c.role)) {
			return c.settingOf("AWS_ROLE_ARN", "role_arn", c.role) + " is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"
		}
		if name := unsendableVariable("AWS_ENDPOINT_URL_STS", "AWS_ROLE_SESSION_NAME"); name != "" {
			return name + " " + unsendableText
		}
		if unsendable(c.region) {
			return c.regionSetting() + " " + unsendableText
		}
	}
	return ""
}

// tokenMistake returns what is wrong with a token file, or "".
func tokenMistake(path, what, setting string) string {
	if !readable(path) {
		return "cannot read " + what + " " + fault.SafePath(path) + ", which " + setting + " names"
	}
	token, err := secfile.Read(path, maxToken)
	if err == nil && unsendable(string(token)) {
		return what + " in " + fault.SafePath(path) + ", which " + setting + " names, " + unsendableText
	}
	return ""
}

// settingOf names where a value was set.
func (c *chain) settingOf(variable, profile, value string) string {
	if os.Getenv(variable) == value {
		return variable
	}
	return profile + " of the AWS profile"
}

// regionSetting names where the region that STS is called in was set.
func (c *chain) regionSetting() string {
	if os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == c.region {
		return "AWS_DEFAULT_REGION"
	}
	return c.settingOf("AWS_REGION", "region", c.region)
}
