package fakevault

import (
	"net/http"
	"strings"
)

// appRole is the login of programs, with the ID of a role and one of its secret IDs.
type appRole struct {
	server *Server
	at     string // the mount's path
	roles  map[string]*programRole
}

type programRole struct {
	tokenRole
	id      string
	secrets map[string]bool
}

func newAppRole(s *Server, at string) *appRole {
	return &appRole{server: s, at: at, roles: map[string]*programRole{}}
}

func (b *appRole) open(path string) bool { return path == "login" }

func (b *appRole) exists(path string) (exists, known bool) {
	name, ok := strings.CutPrefix(path, "role/")
	return b.roles[name] != nil, ok && name != "" && !strings.Contains(name, "/")
}

func (b *appRole) parameters(path string) parameters {
	rest, isRole := strings.CutPrefix(path, "role/")
	name, part, _ := strings.Cut(rest, "/")
	secret := none.with(inPath, "role_name").with(unsupported, "metadata", "cidr_list",
		"token_bound_cidrs", "num_uses", "ttl")
	switch {
	case path == "login":
		return none.with(plain, "role_id", "secret_id")
	case !isRole || name == "":
	case part == "":
		return tokenParameters.with(plain, "policies").with(inPath, "role_name").
			with(unsupported, "bind_secret_id", "bound_cidr_list", "local_secret_ids", "period", "role_id",
				"secret_id_bound_cidrs", "secret_id_num_uses", "secret_id_ttl")
	case part == "role-id":
		return none.with(inPath, "role_name").with(plain, "role_id")
	case part == "secret-id":
		return secret
	case part == "custom-secret-id":
		return secret.with(plain, "secret_id")
	}
	return none
}

func (b *appRole) handle(q *request) (*reply, *failure) {
	if q.path == "login" {
		return b.login(q)
	}
	rest, ok := strings.CutPrefix(q.path, "role/")
	name, part, _ := strings.Cut(rest, "/")
	switch {
	case !ok:
		return nil, unsupportedPath()
	case name == "" && q.op == list:
		return keysBelow("", b.roles), nil
	case part == "":
		return b.serveRole(q, name)
	case b.roles[name] == nil:
		if q.op == read {
			return nil, nil
		}
		return nil, fail(http.StatusBadRequest, "role %q does not exist", name)
	}
	return b.servePart(q, b.roles[name], part)
}

func (b *appRole) serveRole(q *request, name string) (*reply, *failure) {
	r := b.roles[name]
	switch q.op {
	case read:
		if r == nil {
			return nil, nil
		}
		data := r.describe()
		data["bind_secret_id"] = true
		data["local_secret_ids"] = false
		data["secret_id_bound_cidrs"] = nil
		data["secret_id_num_uses"] = 0
		data["secret_id_ttl"] = 0
		return &reply{data: data}, nil
	case create, update:
		if r == nil {
			r = &programRole{id: newID(), secrets: map[string]bool{}}
		}
		if err := r.update(q); err != nil {
			return nil, err
		}
		b.roles[name] = r
		return nil, nil
	case remove:
		delete(b.roles, name)
		return nil, nil
	}
	return nil, unsupportedOperation()
}

// servePart serves the paths below a role: its ID and its secret IDs.
func (b *appRole) servePart(q *request, r *programRole, part string) (*reply, *failure) {
	switch {
	case part == "role-id" && q.op == read:
		return &reply{data: map[string]any{"role_id": r.id}}, nil
	case part == "role-id" && q.op == update:
		if q.field("role_id") == "" {
			return nil, fail(http.StatusBadRequest, "missing role_id")
		}
		r.id = q.field("role_id")
		return nil, nil
	case part == "secret-id" && q.op == update:
		return r.give(newID()), nil
	case part == "custom-secret-id" && q.op == update:
		if q.field("secret_id") == "" {
			return nil, fail(http.StatusBadRequest, "missing secret_id")
		}
		return r.give(q.field("secret_id")), nil
	}
	return nil, unsupportedPath()
}

func (r *programRole) give(secret string) *reply {
	r.secrets[secret] = true
	return &reply{data: map[string]any{
		"secret_id":          secret,
		"secret_id_accessor": newID(),
		"secret_id_num_uses": 0,
		"secret_id_ttl":      0,
	}}
}

func (b *appRole) login(q *request) (*reply, *failure) {
	id, secret := q.field("role_id"), q.field("secret_id")
	if id == "" || q.op != update {
		return nil, fail(http.StatusInternalServerError,
			"failed to determine alias name from login request")
	}
	for name, r := range b.roles {
		switch {
		case r.id != id:
		case secret == "":
			return nil, fail(http.StatusBadRequest, "missing secret_id")
		case r.secrets[secret]:
			return b.server.login(r.tokenRole, b.at, id, "", map[string]string{"role_name": name}), nil
		}
	}
	return nil, fail(http.StatusBadRequest, "invalid role or secret ID")
}
