package fakevault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/scanner"
)

// The capabilities that are no operation.
const (
	deny operation = "deny"
	sudo operation = "sudo"
)

var knownCapabilities = []operation{create, read, update, "patch", remove, list, sudo, deny, "recover", "subscribe"}

// A policy is a list of rules and the text it was parsed from.
type policy struct {
	text  string
	rules []rule
}

// A rule says what may be done with the paths that match. Its path is literal,
// but for segments "+", which stand for any one, and for a glob, which matches
// all that begins like it.
type rule struct {
	path         string // without the glob's "*"
	glob         bool
	capabilities []operation
}

func (r rule) wild() bool { return slices.Contains(strings.Split(r.path, "/"), "+") }

// defaultPolicy is the part of Vault's policy "default" that is about what the
// fake has: every token may look after itself.
const defaultPolicy = `
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
`

func mustParsePolicy(text string) *policy {
	p, err := parsePolicy(text)
	if err != nil {
		panic(err)
	}
	return p
}

// parsePolicy reads the blocks path "…" { capabilities = ["…", …] } and
// comments. The other things a policy may hold it refuses, lest a test rely on
// them.
func parsePolicy(text string) (*policy, error) {
	tokens := policyScanner{}
	tokens.Init(strings.NewReader(text))
	tokens.Mode = scanner.ScanIdents | scanner.ScanStrings | scanner.ScanComments | scanner.SkipComments
	tokens.Scanner.Error = func(*scanner.Scanner, string) {} // the parser sees the odd token and complains
	p := &policy{text: text}
	for {
		switch token := tokens.next(); token {
		case "":
			return p, nil
		case "path":
			r, err := tokens.rule()
			if err != nil {
				return nil, err
			}
			p.rules = append(p.rules, r)
		default:
			return nil, complaint("1 error occurred:\n\t* invalid key %q on line %d\n\n", token, tokens.Line)
		}
	}
}

// A policyError is written as Vault writes it.
type policyError string

func (e policyError) Error() string { return string(e) }

func complaint(format string, args ...any) error { return policyError(fmt.Sprintf(format, args...)) }

type policyScanner struct{ scanner.Scanner }

// next returns the next token, "" at the end.
func (s *policyScanner) next() string {
	for {
		switch s.Scan() {
		case scanner.EOF:
			return ""
		case '#':
			for c := s.Next(); c != '\n' && c != scanner.EOF; {
				c = s.Next()
			}
		default:
			return s.TokenText()
		}
	}
}

// rule reads what follows the word path.
func (s *policyScanner) rule() (rule, error) {
	path, err := strconv.Unquote(s.next())
	if err != nil || s.next() != "{" {
		return rule{}, s.unexpected()
	}
	r := rule{path: strings.TrimPrefix(path, "/")}
	r.path, r.glob = strings.CutSuffix(r.path, "*")
	if strings.Contains(r.path, "+*") {
		return rule{}, complaint("path %q: invalid use of wildcards ('+*' is forbidden)", path)
	}
	for {
		switch key := s.next(); key {
		case "}":
			return r, nil
		case "capabilities":
			if r.capabilities, err = s.capabilities(path); err != nil {
				return rule{}, err
			}
		case "":
			return rule{}, complaint("At %d:%d: object expected closing RBRACE got: EOF", s.Pos().Line, s.Pos().Column)
		default:
			return rule{}, complaint("1 error occurred:\n\t* path %q: invalid key %q on line %d\n\n", path, key, s.Line)
		}
	}
}

// capabilities reads = ["…", …].
func (s *policyScanner) capabilities(path string) ([]operation, error) {
	if s.next() != "=" || s.next() != "[" {
		return nil, s.unexpected()
	}
	var all []operation
	for {
		switch token := s.next(); token {
		case "]":
			return all, nil
		case ",":
		default:
			name, err := strconv.Unquote(token)
			if err != nil {
				return nil, s.unexpected()
			}
			if !slices.Contains(knownCapabilities, operation(name)) {
				return nil, complaint("path %q: invalid capability %q", path, name)
			}
			all = append(all, operation(name))
		}
	}
}

func (s *policyScanner) unexpected() error {
	if s.TokenText() == "" {
		return complaint("unexpected end of the policy")
	}
	return complaint("At %d:%d: unexpected %s", s.Line, s.Column, s.TokenText())
}
