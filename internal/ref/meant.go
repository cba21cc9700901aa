package ref

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// tellingNames are the field names that hardly any password contains.
var tellingNames = [...]string{fieldRegion, fieldSecretID, fieldSecretPointer, fieldMount, fieldEndpoint, fieldKeyring,
	fieldEndpointOverride, fieldAuthenticationType, fieldSealedObject, fieldKeyFile, fieldSerialized}

// sealedNames are members of the values of AlgorithmSecretStore. Without that
// class they are no password either.
var sealedNames = [...]string{fieldSealedObject, fieldKeyFile, fieldSerialized}

const (
	fieldSealedObject = "sealedObjectFilePath"
	fieldKeyFile      = "keyFilePath"
	fieldSerialized   = "serializedSealedObject"
)

// serialized is how a Java object in Base64 begins.
const serialized = "rO0ABX"

// sealedHint recognises the value of another cipher class, and "" else.
func sealedHint(text string) string {
	const hint = "it is a value of the class AlgorithmSecretStore (or AlgorithmCipher): the file has to name that class, or the prefix " +
		prefixBrace + " is missing"
	if strings.HasPrefix(text, serialized) {
		return hint
	}
	if (opensObject(text) || holdsQuotedName(text)) && holdsAny(text, sealedNames[:]...) {
		return hint
	}
	return ""
}

func telling(name string) bool {
	switch name {
	case fieldPath, fieldKey:
		return false
	}
	owner, _ := ownerOf(name)
	return owner != 0
}

// meant reports whether somebody who wrote text meant a reference, however
// broken it is. It decides that text is never handed out as a password, so in
// doubt the answer is yes.
func (g *Grammar) meant(text string) bool {
	if opens := opensObject(text) || assignsObject(text); !opens && !holdsQuotedName(text) {
		return holdsPrefix(text) || g.holdsSeveral(text) || g.holdsMember(text) || isKeyringMember(text)
	} else if opens && g.tellsTwice(text) {
		return true
	}
	return holdsAny(text, tellingNames[:]...) || g.tellsSplit(text) || g.tellsQuoted(text) || g.tellsEscaped(text) || holdsPrefix(text)
}

// isKeyringMember reports whether text is the one member of a reference to a
// keyring that lost its braces and quotes, as one line of YAML. All others have
// several.
func isKeyringMember(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	return ok && strings.EqualFold(strings.TrimSpace(name), fieldKeyring)
}

// holdsPrefix reports whether a prefix stands anywhere in text.
func holdsPrefix(text string) bool {
	return strings.Contains(text, prefixBrace) || strings.Contains(text, prefixAngle)
}

// printedMap is how Go prints a map: what is left of a reference without quotes
// in YAML that was read as a text.
const printedMap = "map["

// holdsMember reports whether an opening brace stands anywhere in text before a
// telling name and a colon or an equals sign.
func (g *Grammar) holdsMember(text string) bool {
	text = strings.ReplaceAll(text, printedMap, "{")
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			return false
		}
		text = text[i+1:]
		rest := strings.TrimLeft(text, " \t\"'`\\")
		end := strings.IndexFunc(rest, func(c rune) bool { return !wordRune(c) })
		if end <= 0 {
			continue
		}
		if after := strings.TrimLeft(rest[end:], " \t\"'`\\"); after != "" && (after[0] == ':' || after[0] == '=') && g.tells(rest[:end]) {
			return true
		}
	}
}

// assignsObject reports whether an object follows the sign of an assignment, as
// in a line of a file that was copied as a whole.
func assignsObject(text string) bool {
	for {
		i := strings.IndexAny(text, "=:")
		if i < 0 {
			return false
		}
		if text = text[i+1:]; opensObject(text) {
			return true
		}
	}
}

// minTwice is the length of the names in which two typing errors are forgiven:
// with two errors a shorter one is any other word.
const minTwice = 7

// ordinaryWords are two typing errors away from a telling name, and are none.
var ordinaryWords = [...]string{"secret", "secrets", "midpoint"}

// tellsTwice reports whether the name of a member is two typing errors away from
// a telling name. A region is known by its value, too.
func (g *Grammar) tellsTwice(text string) bool {
	near := func(name, want string) bool { return len(want) >= minTwice && nearFold(name, want, 2) }
	for i, c := range text {
		if c != ':' && c != '=' && c != '：' {
			continue
		}
		name := memberName(text[:i])
		if slices.ContainsFunc(ordinaryWords[:], func(word string) bool { return strings.EqualFold(name, word) }) {
			continue
		}
		if slices.ContainsFunc(tellingNames[:], func(want string) bool { return near(name, want) }) ||
			slices.ContainsFunc(g.Customs, func(c CustomFields) bool {
				return slices.ContainsFunc(c.Fields, func(want string) bool { return near(name, want) })
			}) {
			return true
		}
		if nearFold(name, fieldRegion, 2) {
			value := strings.TrimLeft(text[i+utf8.RuneLen(c):], "\"'` \t\\")
			end := strings.IndexFunc(value, func(c rune) bool { return c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) })
			if end > 0 && regionID(value[:end]) && strings.Count(value[:end], "-") >= 2 && unicode.IsDigit(rune(value[end-1])) {
				return true
			}
		}
	}
	return false
}

// memberName returns the name that ends before a colon, without its quotes.
func memberName(before string) string {
	mark := func(c rune) bool { return strings.ContainsRune("\"'`“”„‘’‚«»\\", c) }
	before = strings.TrimRightFunc(before, func(c rune) bool { return mark(c) || invisible(c) })
	start := strings.LastIndexFunc(before, func(c rune) bool { return mark(c) || strings.ContainsRune("{}[](),;:=<>", c) })
	if start >= 0 {
		_, size := utf8.DecodeRuneInString(before[start:])
		before = before[start+size:]
	}
	return strings.TrimFunc(before, invisible)
}

// holdsAny reports whether one of the names, which are ASCII and begin with no
// capital letter, stands in text, in any letter case.
func holdsAny(text string, names ...string) bool {
	for i, c := range text {
		c = unicode.ToLower(c)
		for _, name := range names {
			if c == rune(name[0]) && hasPrefixFold(text[i:], name) {
				return true
			}
		}
	}
	return false
}

// hasPrefixFold reports whether text begins with a prefix of ASCII characters,
// in any letter case.
func hasPrefixFold(text, prefix string) bool {
	n := 0
	for _, c := range text {
		if n == len(prefix) || unicode.ToLower(c) != unicode.ToLower(rune(prefix[n])) {
			break
		}
		n++
	}
	return n == len(prefix)
}

// tellsSplit looks at the words of text, and at every two that one other
// character parts: it may be the typing error.
func (g *Grammar) tellsSplit(text string) bool {
	before, start := 0, 0 // where the word before begins, if there is one, and this one
	for start < len(text) {
		end := len(text)
		if i := strings.IndexFunc(text[start:], func(c rune) bool { return !wordRune(c) }); i >= 0 {
			end = start + i
		}
		word := start < end
		if word && (g.tells(text[start:end]) || before < start && g.tells(text[before:end])) {
			return true
		}
		_, gap := utf8.DecodeRuneInString(text[end:])
		before, start = start, end+gap
		if !word {
			before = start
		}
	}
	return false
}

// tellsQuoted looks at what stands between quotes, for names of the caller's
// stores that are not made of words.
func (g *Grammar) tellsQuoted(text string) bool {
	if len(g.Customs) == 0 {
		return false
	}
	for piece := range strings.SplitSeq(text, `"`) {
		if g.tells(piece) {
			return true
		}
	}
	return false
}

// tells reports whether a word is a telling name, in any letter case, or one
// typing error away from it.
func (g *Grammar) tells(word string) bool {
	for _, name := range tellingNames {
		if nearFold(word, name, 1) {
			return true
		}
	}
	for _, c := range g.Customs {
		for _, name := range c.Fields {
			if nearFold(word, name, 1) {
				return true
			}
		}
	}
	return false
}

// tellsEscaped looks at names whose letters are written as JSON escapes.
func (g *Grammar) tellsEscaped(text string) bool {
	if !strings.HasPrefix(text, "{") || !strings.Contains(text, `\`) || len(text) > maxText {
		return false
	}
	var room [8]member // on the stack
	members, _, _ := scanMembers(text, room[:0])
	return slices.ContainsFunc(members, func(m member) bool { return g.tells(m.name) })
}

// holdsSeveral reports whether two different telling names stand in text, each
// before a colon or an equals sign: coordinates that lost brace and quotes.
func (g *Grammar) holdsSeveral(text string) bool {
	seen := ""
	for i, c := range text {
		if c != ':' && c != '=' {
			continue
		}
		word := lastWord(strings.TrimRight(text[:i], " \t"))
		if word == "" || !g.tells(word) {
			continue
		}
		if word = strings.ToLower(word); seen != "" && word != seen {
			return true
		}
		seen = word
	}
	return false
}

func lastWord(s string) string {
	i := strings.LastIndexFunc(s, func(c rune) bool { return !wordRune(c) })
	if i < 0 {
		return s
	}
	_, size := utf8.DecodeRuneInString(s[i:])
	return s[i+size:]
}

func wordRune(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' || c == '-' }

// openers are the forms in which an opening brace reaches us.
var openers = [...]string{"{", "｛", "﹛", "&#123;", "&#x7b;", "&#x7B;", "&lcub;", "&lbrace;", "%7b", "%7B", `\u007b`, `\u007B`, `\x7b`}

// opensObject reports whether text begins with a brace or something that was
// one before it was quoted, escaped or pasted.
func opensObject(text string) bool {
	for text != "" {
		for _, o := range openers {
			if strings.HasPrefix(text, o) {
				return true
			}
		}
		c, size := utf8.DecodeRuneInString(text)
		if !strings.ContainsRune("\"'`\\([<“”„‘’‚«»", c) && !invisible(c) {
			return false
		}
		text = text[size:]
	}
	return false
}

func invisible(c rune) bool {
	return unicode.IsSpace(c) || unicode.Is(unicode.Cf, c) || unicode.IsControl(c)
}

// closers are the forms in which the quote after a name reaches us.
var closers = [...]string{`"`, "'", "`", "”", "“", "„", "’", "‘", "‚", "»", "«", "″", "′", "＂", "＇",
	"&quot;", "&#34;", "&#x22;", "&apos;", "&#39;", "&#x27;", "&ldquo;", "&rdquo;", "&lsquo;", "&rsquo;", `\u0022`, "%22", "%27"}

// holdsQuotedName reports whether a quote of any kind is followed by a colon.
func holdsQuotedName(text string) bool {
	for i, c := range text {
		if c != ':' && c != '：' && c != '=' && !strings.HasPrefix(text[i:], "%3A") && !strings.HasPrefix(text[i:], "%3a") {
			continue
		}
		before := strings.TrimRightFunc(text[:i], invisible)
		for _, q := range closers {
			if strings.HasSuffix(before, q) {
				return true
			}
		}
	}
	return false
}

const meantIntro = "this looks like a secret reference, but "

// meantHint says how to mend a reference that lost its brace or prefix.
func meantHint(text string) string {
	const intro = meantIntro
	if hint := misspeltPrefix(text); hint != "" {
		return hint
	}
	if hint := quoteHint(text); hint != "" {
		return intro + "it is not one: " + hint
	}
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case invisible(first):
		return intro + "an invisible character stands before it: remove it"
	case strings.ContainsRune("\"'`“”‘’", first) && opensObject(text):
		return intro + "it stands in quotes: remove them"
	case strings.HasPrefix(text, "<"):
		return intro + "the form <…> needs the prefix " + prefixAngle
	case strings.Contains(text, prefixBrace) || strings.Contains(text, prefixAngle):
		return intro + "there is something before the prefix"
	case !holdsQuotedName(text) && assignsObject(text), strings.ContainsAny(text[:1], "=:"):
		return intro + "there is something before its brace: write only what begins with \"{\""
	}
	return intro + "it does not begin with \"{\": is a brace lost?"
}

// quoteHint names what commonly takes the place of a plain double quote.
func quoteHint(text string) string {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "&quot;") || strings.Contains(lower, "&#34;") || strings.Contains(lower, "&#x22;"):
		return "it holds HTML entities: write plain double quotes"
	case strings.ContainsAny(text, "“”„″＂"):
		return "it holds typographic quotes: write plain double quotes"
	case strings.Contains(text, `\"`):
		return "its quotes are escaped with backslashes: write plain double quotes"
	case strings.ContainsAny(text, "'‘’`") && strings.Count(text, `"`) < 4:
		return "names and values stand in double quotes, not in single ones"
	case strings.HasPrefix(text, "{{") || strings.HasSuffix(text, "}}"):
		return "a brace is doubled"
	}
	return ""
}

// prefixHint says what must follow a prefix.
func prefixHint(body string) string {
	const want = "after the prefix there must be coordinates, a JSON object that begins with \"{\""
	switch {
	case body == "":
		return want + "; there is nothing"
	case strings.HasPrefix(body, `"`) && holdsQuotedName(body):
		return want + "; is a brace lost?"
	}
	return want
}

// misspeltPrefix recognises a prefix with other letters' case or brackets.
func misspeltPrefix(text string) string {
	rest := strings.TrimLeftFunc(text, func(c rune) bool { return invisible(c) || strings.ContainsRune("\"'`\\“”‘’=:", c) })
	quoted := rest != text
	open := strings.TrimLeft(rest, "{<([")
	n := len(rest) - len(open)
	if n == 0 && len(open) > 4 && strings.EqualFold(open[:4], "ENC}") {
		return "the prefix is written " + prefixBrace + ": is a brace lost?"
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
			return "there is something before the prefix: remove it"
		}
		return "there are quotes or invisible characters before the prefix: remove them"
	}
	return "the prefix is written " + prefixBrace + " or " + prefixAngle
}

// Placeholder marks a password that a product has moved elsewhere.
const Placeholder = "{ATL_SECURED}"

// IsPlaceholder reports whether a value says that the password is elsewhere.
func IsPlaceholder(text string) bool { return strings.EqualFold(strings.TrimSpace(text), Placeholder) }

// holdsPlaceholder reports whether a placeholder stands in text, or is all of it
// but for braces and what surrounds them.
func holdsPlaceholder(text string) bool {
	if _, found := CutPlaceholder(text); found {
		return true
	}
	bare := strings.TrimFunc(text, func(c rune) bool { return invisible(c) || strings.ContainsRune("\"'`{}[]()<>$;", c) })
	return strings.EqualFold(bare, strings.Trim(Placeholder, "{}"))
}

// CutPlaceholder returns what stands before the first placeholder in text, in any
// letter case.
func CutPlaceholder(text string) (before string, found bool) {
	for at := 0; ; at++ {
		i := strings.IndexByte(text[at:], Placeholder[0])
		if i < 0 {
			return text, false
		}
		if at += i; hasPrefixFold(text[at:], Placeholder) {
			return text[:at], true
		}
	}
}

// PlaceholderFault is what became of the password behind a placeholder.
func PlaceholderFault() error {
	return fault.New(fault.Unsupported, "%s marks a password that the product has moved into its own internal store; it cannot be read from the file: "+
		"put a secret reference there, or read the password where it was set", Placeholder)
}

// foreign recognises the references of other tools.
func foreign(text string) string {
	text = strings.TrimLeftFunc(text, func(c rune) bool { return invisible(c) || strings.ContainsRune("\"'`", c) })
	const use = "; write the coordinates, for example "
	const aws = `{"region":"eu-west-1","secretId":"name"}`
	const vault = `{"mount":"secret","path":"name","key":"password","endpoint":"https://vault.example.com"}`
	switch {
	case holdsAny(text, "arn:aws") && holdsAny(text, ":secretsmanager:"):
		return "a bare ARN is not a secret reference" + use + `{"region":"eu-west-1","secretId":"arn:…"}`
	case hasPrefixFold(text, "arn:aws") && holdsAny(text, ":ssm:"):
		return "SSM parameters are not read" + use + aws
	case hasPrefixFold(text, "ref+") && strings.Contains(text, "://"):
		return "this is a reference of vals (helmfile)" + use + aws
	case hasPrefixFold(text, "op://"):
		return "this is a 1Password reference: add a Provider, or use the op command"
	case hasPrefixFold(text, "vault://") || hasPrefixFold(text, "vault:secret/"):
		return "this is another tool's Vault reference" + use + vault
	case hasPrefixFold(text, "awssm://") || hasPrefixFold(text, "awssecretsmanager://") || hasPrefixFold(text, "{{resolve:secretsmanager:"):
		return "this is another tool's AWS reference" + use + aws
	case hasPrefixFold(text, "gcpsm://") || hasPrefixFold(text, "gcpsecretmanager://") || hasPrefixFold(text, "azurekeyvault://") ||
		hasPrefixFold(text, "@microsoft.keyvault("):
		return "this is another tool's reference: add a Provider for that store"
	case strings.HasPrefix(text, "ENC(") && strings.HasSuffix(text, ")"):
		return "this is a value encrypted by Jasypt, not a secret reference"
	}
	return ""
}
