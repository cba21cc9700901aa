package fakevault

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
)

// The capabilities that are not operations.
const (
	deny operation = "deny"
	sudo operation = "sudo"
)

var knownCapabilities = []operation{create, read, update, patch, remove, list, sudo, deny,
	"recover", "subscribe"}

// shorthands are the values of "policy", which stand for capabilities.
var shorthands = map[string][]operation{
	"deny":  {deny},
	"read":  {read, list},
	"write": {create, read, update, remove, list},
	"sudo":  {create, read, update, remove, list, sudo},
}

// A policy is a list of rules and the text it was parsed from.
type policy struct {
	text  string
	rules []rule
}

// A rule has the capabilities of the paths that it matches. Its path is literal, except
// for segments "+", which match any segment, and for a glob, which matches any suffix.
type rule struct {
	path         string // without the glob's "*"
	glob         bool
	capabilities []operation
}

func (r rule) wild() bool { return slices.Contains(strings.Split(r.path, "/"), "+") }

// defaultPolicy is the part of Vault's policy "default" for the paths of the fake: every
// token may look up, renew and revoke itself.
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

// unsupportedKeys are the keys of a rule that the fake refuses, so that no test relies on
// them.
var unsupportedKeys = []string{
	"allowed_parameters", "denied_parameters", "required_parameters", "min_wrapping_ttl",
	"max_wrapping_ttl",
	"mfa_methods", "control_group", "subscribe_event_types",
}

// parsePolicy reads a policy in HCL or JSON. Its errors are those of Vault, or a
// *failure for a feature that the fake does not implement.
func parsePolicy(text string) (*policy, error) {
	file, err := hcl.Parse(text)
	if err != nil {
		return nil, err
	}
	top, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, errors.New("does not contain a root object")
	}
	if wrong := wrongKeys(top, []string{"name", "path"}); wrong != nil {
		return nil, errors.New(listed(wrong))
	}
	p := &policy{text: text}
	for _, block := range top.Filter("path").Items {
		r, err := parseRule(block)
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// parseRule reads a block path "…" { … }.
func parseRule(block *ast.ObjectItem) (rule, error) {
	path := "path"
	if len(block.Keys) > 0 {
		path, _ = block.Keys[0].Token.Value().(string)
	}
	body, ok := block.Val.(*ast.ObjectType)
	if !ok {
		return rule{}, fmt.Errorf("path %q: cannot check HCL keys of type %T", path, block.Val)
	}
	if wrong := wrongKeys(body.List,
		append([]string{"comment", "policy", "capabilities"}, unsupportedKeys...)); wrong != nil {
		for i := range wrong {
			wrong[i] = fmt.Sprintf("path %q: %s", path, wrong[i])
		}
		return rule{}, errors.New(listed(wrong))
	}
	for _, key := range unsupportedKeys {
		if len(body.List.Filter(key).Items) > 0 {
			return rule{}, notImplemented("%s in a policy", key)
		}
	}
	if strings.Contains(path, "{{") {
		return rule{}, notImplemented("templates in a policy")
	}
	var said struct {
		Comment      string   `hcl:"comment"`
		Policy       string   `hcl:"policy"`
		Capabilities []string `hcl:"capabilities"`
	}
	if err := hcl.DecodeObject(&said, body); err != nil {
		return rule{}, fmt.Errorf("path %q: %w", path, err)
	}

	r := rule{path: strings.TrimPrefix(path, "/")}
	if strings.Contains(r.path, "+*") {
		return rule{}, fmt.Errorf("path %q: invalid use of wildcards ('+*' is forbidden)", r.path)
	}
	r.path, r.glob = strings.CutSuffix(r.path, "*")
	if said.Policy != "" && shorthands[said.Policy] == nil {
		return rule{}, fmt.Errorf("path %q: invalid policy %q", path, said.Policy)
	}
	r.capabilities = slices.Clone(shorthands[said.Policy])
	for _, name := range said.Capabilities {
		if !slices.Contains(knownCapabilities, operation(name)) {
			return rule{}, fmt.Errorf("path %q: invalid capability %q", path, name)
		}
		r.capabilities = append(r.capabilities, operation(name))
	}
	return r, nil
}

// wrongKeys returns an error text for each invalid key.
func wrongKeys(items *ast.ObjectList, valid []string) []string {
	var wrong []string
	for _, item := range items.Items {
		if key, _ := item.Keys[0].Token.Value().(string); !slices.Contains(valid, key) {
			wrong = append(wrong, fmt.Sprintf("invalid key %q on line %d", key, item.Assign.Line))
		}
	}
	return wrong
}
