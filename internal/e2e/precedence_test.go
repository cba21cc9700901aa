package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// precedenceScript reads a path with a policy in which more than one rule matches. If the read is
// allowed, the answer is 404, since there is no secret.
func precedenceScript() []exchange {
	const allowed, denied = http.StatusNotFound, http.StatusForbidden
	read := func(path string) string { return fmt.Sprintf("path %q { capabilities = [\"read\"] }\n", path) }
	list := func(path string) string { return fmt.Sprintf("path %q { capabilities = [\"list\"] }\n", path) }
	deny := func(path string) string { return fmt.Sprintf("path %q { capabilities = [\"deny\"] }\n", path) }
	var script []exchange
	for i, c := range []struct {
		policy, path string
		status       int
	}{
		{read("*"), "a/b", allowed},
		{read("/secret/data/a/b"), "a/b", allowed},
		{read("secret/data/a/b"), "a/b/c", denied},
		{read("secret/data/a/b*"), "a/bc/d", allowed},
		{read("secret/data/+/b"), "a/b", allowed},
		{read("secret/data/+/b"), "a/b/c", denied},
		{read("secret/data/+"), "a/b", denied},
		{read("+/data/a/b"), "a/b", allowed},
		{read("secret/data/+/b/*"), "a/b", denied},
		{read("secret/data/+/b/*"), "a/b/c/d", allowed},
		{read("secret/data/+/b*"), "a/bc/d", allowed},

		// The exact path wins, then the longest glob. Only the capabilities of the winner count.
		{read("secret/data/*") + list("secret/data/a/b"), "a/b", denied},
		{read("secret/data/*") + list("secret/data/a/*"), "a/b", denied},
		{read("secret/data/a/*") + deny("secret/data/*"), "a/b", allowed},
		// The rule whose first wildcard is later wins.
		{read("secret/data/a/*") + deny("secret/data/+/b"), "a/b", allowed},
		{read("secret/data/a/+") + deny("secret/data/+/b"), "a/b", allowed},
		{deny("secret/data/a/+") + read("secret/data/+/b"), "a/b", denied},
		// A rule without a glob wins.
		{read("secret/data/+/b") + deny("secret/data/+/*"), "a/b", allowed},
		{deny("secret/data/+/b") + read("secret/data/+/*"), "a/b", denied},
		{read("secret/data/+") + deny("secret/data/*"), "a", allowed},
		// The rule with fewer wildcards wins.
		{read("secret/data/+/b/c") + deny("secret/data/+/+/c"), "a/b/c", allowed},
		{deny("secret/data/+/b/c") + read("secret/data/+/+/c"), "a/b/c", denied},
		// The longer path wins.
		{read("secret/data/+/b*") + deny("secret/data/+/*"), "a/bc", allowed},
		{deny("secret/data/+/b*") + read("secret/data/+/*"), "a/bc", denied},
		// The same path occurs twice.
		{list("secret/data/+/b") + read("secret/data/+/b"), "a/b", allowed},
		{read("secret/data/a/b") + deny("secret/data/a/b") + read("secret/data/c"), "a/b", denied},
		{deny("secret/data/a/b") + read("secret/data/a/b") + read("secret/data/c"), "a/b", denied},
	} {
		name := fmt.Sprintf("p%d", i)
		body, err := json.Marshal(map[string]string{"policy": c.policy})
		if err != nil {
			panic(err)
		}
		script = append(script,
			exchange{method: "PUT", path: "sys/policies/acl/" + name, body: string(body), token: "$root",
				status: 204},
			exchange{method: "POST", path: "auth/token/create", body: `{"policies":["` + name + `"]}`,
				token: "$root", status: 200, save: name + "=auth.client_token"},
			exchange{method: "GET", path: "secret/data/" + c.path, token: "$" + name, status: c.status},
			exchange{method: "GET", path: "sys/internal/ui/mounts/secret", token: "$" + name, status: 200},
		)
	}
	return script
}
