package fakevault

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// kubernetes is the login of pods with the JWT of their service account, which the
// cluster verifies.
type kubernetes struct {
	server *Server
	at     string // the mount's path
	config *kubeConfig
	roles  map[string]*kubeRole
}

type kubeConfig struct {
	host, ca, reviewerJWT string
}

type kubeRole struct {
	tokenRole
	names, namespaces []string
	audience          string
}

func newKubernetes(s *Server, at string) *kubernetes {
	return &kubernetes{server: s, at: at, roles: map[string]*kubeRole{}}
}

func (b *kubernetes) open(path string) bool { return path == "login" }

func (b *kubernetes) exists(path string) (exists, known bool) {
	name, ok := strings.CutPrefix(path, "role/")
	return b.roles[name] != nil, ok && name != ""
}

func (b *kubernetes) parameters(path string) parameters {
	switch name, isRole := strings.CutPrefix(path, "role/"); {
	case path == "login":
		return none.with(plain, "role", "jwt")
	case path == "config":
		// The fake runs in no pod, whose CA and JWT it could use.
		return none.with(plain, "kubernetes_host", "kubernetes_ca_cert", "token_reviewer_jwt").
			with(boolean, "disable_local_ca_jwt").
			with(unsupported, "pem_keys", "issuer", "disable_iss_validation",
				"use_annotations_as_alias_metadata")
	case isRole && name != "":
		return tokenParameters.
			with(plain, "bound_service_account_names", "bound_service_account_namespaces", "audience",
				"policies").
			with(unsupported, "bound_service_account_namespace_selector", "alias_name_source",
				"bound_cidrs", "ttl",
				"max_ttl", "num_uses", "period").
			with(inPath, "name")
	}
	return none
}

func (b *kubernetes) handle(q *request) (*reply, *failure) {
	name, isRole := strings.CutPrefix(q.path, "role/")
	switch {
	case q.path == "login" && q.op == update:
		return b.login(q)
	case q.path == "login":
		return nil, fail(http.StatusMethodNotAllowed, "unsupported operation")
	case q.path == "config":
		return b.serveConfig(q)
	case isRole && q.op == list:
		return keysBelow("", b.roles), nil
	case isRole && name != "":
		return b.serveRole(q, name)
	}
	return nil, unsupportedPath()
}

func (b *kubernetes) serveConfig(q *request) (*reply, *failure) {
	switch q.op {
	case read:
		if b.config == nil {
			return nil, nil
		}
		return &reply{data: map[string]any{
			"kubernetes_host":        b.config.host,
			"kubernetes_ca_cert":     b.config.ca,
			"token_reviewer_jwt_set": b.config.reviewerJWT != "",
			// The fake runs in no pod, whose CA and JWT it could use instead.
			"disable_local_ca_jwt":              true,
			"disable_iss_validation":            true,
			"issuer":                            "",
			"pem_keys":                          []string{},
			"use_annotations_as_alias_metadata": false,
		}}, nil
	case update:
		if q.field("kubernetes_host") == "" {
			return nil, fail(http.StatusBadRequest, "no host provided")
		}
		b.config = &kubeConfig{
			host:        q.field("kubernetes_host"),
			ca:          q.field("kubernetes_ca_cert"),
			reviewerJWT: q.field("token_reviewer_jwt"),
		}
		return nil, nil
	}
	return nil, unsupportedOperation()
}

func (b *kubernetes) serveRole(q *request, name string) (*reply, *failure) {
	switch q.op {
	case read:
		r := b.roles[name]
		if r == nil {
			return nil, nil
		}
		data := r.describe()
		data["alias_name_source"] = "serviceaccount_uid"
		if r.audience != "" {
			data["audience"] = r.audience
		}
		data["bound_service_account_names"] = r.names
		data["bound_service_account_namespaces"] = r.namespaces
		data["bound_service_account_namespace_selector"] = ""
		return &reply{data: data}, nil
	case create, update:
		return b.writeRole(q, name)
	case remove:
		delete(b.roles, name)
		return nil, nil
	}
	return nil, unsupportedOperation()
}

func (b *kubernetes) writeRole(q *request, name string) (*reply, *failure) {
	r := &kubeRole{}
	if old := b.roles[name]; old != nil {
		*r = *old
	}
	if err := r.update(q); err != nil {
		return nil, err
	}
	if names, ok := q.data["bound_service_account_names"]; ok {
		r.names = stringsOf(names)
	}
	if namespaces, ok := q.data["bound_service_account_namespaces"]; ok {
		r.namespaces = stringsOf(namespaces)
	}
	if audience, ok := q.data["audience"].(string); ok {
		r.audience = audience
	}
	mixed := func(list []string) bool { return len(list) > 1 && slices.Contains(list, "*") }
	switch {
	case len(r.names) == 0:
		return nil, fail(http.StatusBadRequest, `"bound_service_account_names" can not be empty`)
	case len(r.namespaces) == 0:
		return nil, fail(http.StatusBadRequest, `"bound_service_account_namespaces" can not be empty `+
			`if "bound_service_account_namespace_selector" is not set`)
	case mixed(r.names), mixed(r.namespaces):
		return nil, fail(http.StatusBadRequest, `can not mix "*" with values`)
	}
	b.roles[name] = r
	if r.audience == "" {
		return &reply{warnings: []string{fmt.Sprintf("Role %s does not have an audience configured. While audiences "+
			"are not required, consider specifying one if your use case would benefit from additional JWT claim "+
			"verification.", name)}}, nil
	}
	return nil, nil
}

// login serves a login. Unlike other errors, its errors do not begin with
// "1 error occurred".
func (b *kubernetes) login(q *request) (*reply, *failure) {
	roleName, jwt := q.field("role"), q.field("jwt")
	role := b.roles[roleName]
	switch {
	case roleName == "":
		return nil, fail(http.StatusBadRequest, "missing role")
	case jwt == "":
		return nil, fail(http.StatusBadRequest, "missing jwt")
	case role == nil:
		return nil, fail(http.StatusBadRequest, "invalid role name %q", roleName)
	case b.config == nil:
		return nil, fail(http.StatusInternalServerError, "could not load backend configuration")
	}
	account, err := parseJWT(jwt, role.audience, b.server.clock())
	if err != nil {
		return nil, err
	}
	if !bound(role.names, account.name) {
		return nil, fail(http.StatusForbidden, "service account name not authorized")
	}
	if !bound(role.namespaces, account.namespace) {
		return nil, fail(http.StatusForbidden, "namespace not authorized")
	}

	// The cluster may be slow, and other requests must not wait for it.
	config, client := *b.config, b.config.client(b.server.cluster)
	b.server.mu.Unlock()
	reviewed := config.review(q.ctx, client, jwt, role.audience)
	b.server.mu.Lock()
	if reviewed != account {
		return nil, fail(http.StatusForbidden, "permission denied")
	}
	return b.server.login(role.tokenRole, b.at, account.uid, account.namespace+"-"+account.name,
		map[string]string{
			"role":                        roleName,
			"service_account_name":        account.name,
			"service_account_namespace":   account.namespace,
			"service_account_secret_name": "",
			"service_account_uid":         account.uid,
		}), nil
}

// bound reports whether one of the patterns matches the name. Names in Kubernetes
// contain no special character of path.Match but "*".
func bound(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}
