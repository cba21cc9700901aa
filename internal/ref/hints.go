package ref

import (
	"strings"
	"unicode/utf8"
)

const lookalikeIntro = "this looks like a secret reference, but "

// lookalikeHint says how to fix a reference without its brace or prefix.
func lookalikeHint(text string) string {
	const intro = lookalikeIntro
	if hint := misspeltPrefixHint(text); hint != "" {
		return hint
	}
	if hint := quoteHint(text); hint != "" {
		return intro + "it is not valid: " + hint
	}
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case isInvisible(first):
		return intro + "there is an invisible character before it: remove it"
	case strings.ContainsRune("\"'`“”‘’", first) && opensObject(text):
		return intro + "it is in quotes: remove them"
	case strings.HasPrefix(text, "<"):
		return intro + "the form <…> needs the prefix " + prefixAngle
	case strings.Contains(text, prefixBrace) || strings.Contains(text, prefixAngle):
		return intro + "there is other text before the prefix"
	case !hasQuotedName(text) && assignsObject(text), strings.ContainsAny(text[:1], "=:"):
		return intro + "there is other text before its brace: write only the part that begins with \"{\""
	}
	return intro + "it does not begin with \"{\": is a brace missing?"
}

// quoteHint names the wrong quotes in text, or returns "".
func quoteHint(text string) string {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "&quot;") || strings.Contains(lower, "&#34;") ||
		strings.Contains(lower, "&#x22;"):
		return "it contains HTML entities: write plain double quotes"
	case strings.ContainsAny(text, "“”„″＂"):
		return "it contains typographic quotes: write plain double quotes"
	case strings.Contains(text, `\"`):
		return "its quotes are escaped with backslashes: write plain double quotes"
	case strings.ContainsAny(text, "'‘’`") && strings.Count(text, `"`) < 4:
		return "names and values need double quotes, not single ones"
	case strings.HasPrefix(text, "{{") || strings.HasSuffix(text, "}}"):
		return "a brace is doubled"
	}
	return ""
}

// prefixHint says how to fix the text after a prefix.
func prefixHint(body string) string {
	const want = "after the prefix there must be coordinates, a JSON object that begins with \"{\""
	switch {
	case body == "":
		return want + "; it is empty"
	case strings.HasPrefix(body, `"`) && hasQuotedName(body):
		return want + "; is a brace missing?"
	}
	return want
}

// misspeltPrefixHint says how to fix a prefix in another letter case, with
// other brackets, or with text before it. It returns "" if there is none.
func misspeltPrefixHint(text string) string {
	rest := strings.TrimLeftFunc(text,
		func(c rune) bool { return isInvisible(c) || strings.ContainsRune("\"'`\\“”‘’=:", c) })
	quoted := rest != text
	open := strings.TrimLeft(rest, "{<([")
	n := len(rest) - len(open)
	if n == 0 && len(open) > 4 && strings.EqualFold(open[:4], "ENC}") {
		return "the prefix is written " + prefixBrace + ": is a brace missing?"
	}
	if n == 0 || n > 2 {
		return ""
	}
	open = strings.TrimLeft(open, " ")
	if len(open) < 4 || !strings.EqualFold(open[:3], "ENC") {
		return ""
	}
	if c := strings.TrimLeft(open[3:], " "); c == "" || !strings.ContainsRune("}>)]:", rune(c[0])) {
		return ""
	}
	if _, exact := CutPrefix(rest); quoted && exact {
		if strings.ContainsAny(text[:len(text)-len(rest)], "=:") {
			return "there is other text before the prefix: remove it"
		}
		return "there are quotes or invisible characters before the prefix: remove them"
	}
	return "the prefix is written " + prefixBrace + " or " + prefixAngle
}

// otherToolHint says what to write instead of another tool's reference. It returns
// "" for any other text.
func otherToolHint(text string) string {
	text = strings.TrimLeftFunc(text,
		func(c rune) bool { return isInvisible(c) || strings.ContainsRune("\"'`", c) })
	const use = "; write the coordinates, for example "
	const aws = `{"region":"eu-west-1","secretId":"name"}`
	const vault = `{"mount":"secret","path":"name","key":"password","endpoint":"https://vault.example.com"}`
	switch {
	case containsAnyFold(text, "arn:aws") && containsAnyFold(text, ":secretsmanager:"):
		return "a bare ARN is not a secret reference" + use + `{"region":"eu-west-1","secretId":"arn:…"}`
	case hasPrefixFold(text, "arn:aws") && containsAnyFold(text, ":ssm:"):
		return "SSM parameters are not read" + use + aws
	case hasPrefixFold(text, "ref+") && strings.Contains(text, "://"):
		return "this is a reference of vals (helmfile)" + use + aws
	case hasPrefixFold(text, "op://"):
		return "this is a 1Password reference: add a Provider, or use the op command"
	case hasPrefixFold(text, "vault://") || hasPrefixFold(text, "vault:secret/"):
		return "this is another tool's Vault reference" + use + vault
	case hasPrefixFold(text, "awssm://") || hasPrefixFold(text, "awssecretsmanager://") ||
		hasPrefixFold(text, "{{resolve:secretsmanager:"):
		return "this is another tool's AWS reference" + use + aws
	case hasPrefixFold(text, "gcpsm://") || hasPrefixFold(text, "gcpsecretmanager://") ||
		hasPrefixFold(text, "azurekeyvault://") ||
		hasPrefixFold(text, "@microsoft.keyvault("):
		return "this is another tool's reference: add a Provider for that store"
	case strings.HasPrefix(text, "ENC(") && strings.HasSuffix(text, ")"):
		return "this is a value encrypted by Jasypt, not a secret reference"
	}
	return ""
}

// cipherValueNames are members of the values of AlgorithmSecretStore, which are
// not passwords without that class either.
var cipherValueNames = [...]string{"sealedObjectFilePath", "keyFilePath", "serializedSealedObject"}

// javaObjectStart is the start of a serialized Java object in Base64.
const javaObjectStart = "rO0ABX"

// cipherValueHint returns why a value of a cipher class is refused, or "" for any
// other text.
func cipherValueHint(text string) string {
	const hint = "it is a value of the class AlgorithmSecretStore (or AlgorithmCipher): the file must name that class, or the prefix " +
		prefixBrace + " is missing"
	if strings.HasPrefix(text, javaObjectStart) {
		return hint
	}
	if (opensObject(text) || hasQuotedName(text)) && containsAnyFold(text, cipherValueNames[:]...) {
		return hint
	}
	return ""
}
