package e2e

var brokenPolicyScript = func() []exchange {
	var script []exchange
	for _, policy := range []string{
		`path`, `path \"x\"`, `path \"x\" {`, `path \"x\" { capabilities`, `path \"x\" { capabilities = `,
		`path \"x\" { capabilities = [\"read\"`, `path \"x\" { capabilities = [\"read\" \"list\"] }`,
		`path \"x\" { capabilities = [\"read\"] } }`, `path \"x { capabilities = [\"read\"] }`,
		`path x { capabilities = [\"fly\"] }`, `path \"x\" { capabilities = \"read\" }`,
		`path \"x\" { capabilities = 7 }`,
		`path \"x\" = { capabilities = [\"read\"], }`, `paths \"x\" { capabilities = [\"read\"] }`,
		`path \"x\" {\n  capabilities = [\"read\"]\n  speed = 1\n  colour = 2\n}`,
		`path \"+*\" { capabilities = [\"read\"] }`,
		`path \"x\" { capabilities = [\"read\"] capabilities = [\"list\"] }`, `nonsense`, `{\"path\":7}`,
		`\u0000`,
		`/* path`, `path \"x\" { policy = \"fly\" }`, `= 7`,
	} {
		script = append(script, exchange{
			method: "PUT", path: "sys/policies/acl/bad", body: `{"policy":"` + policy + `"}`, token: "$root",
			status: 400,
		})
	}
	for _, policy := range []string{
		`{\"path\":{\"secret/data/app\":{\"capabilities\":[\"read\"]}}}`,
		`{`, `path \"secret/data/app\" \"b\" { capabilities = [\"read\"] }`,
		`path \"secret/data/app\" { policy = \"write\" }`,
		`cGF0aCAic2VjcmV0L2RhdGEvYXBwIiB7IGNhcGFiaWxpdGllcyA9IFsicmVhZCJdIH0=`,
		`name = \"x\" path \"secret/data/app\" { comment = \"c\" capabilities = [\"read\"] } // end`,
		`path \"secret/data/app\" { capabilities = [\"list\"] } path \"secret/data/app\" { capabilities = [\"read\"] }`,
		"path \\\"secret/data/app\\\" {\\n capabilities = [\\n # c\\n \\\"read\\\", /* d */ \\\"deny\\\",\\n ] }",
	} {
		script = append(script,
			exchange{method: "PUT", path: "sys/policies/acl/good", body: `{"policy":"` + policy + `"}`,
				token: "$root", status: 204},
			exchange{method: "GET", path: "sys/policies/acl/good", token: "$root", status: 200},
			exchange{method: "POST", path: "auth/token/create", body: `{"policies":["good"]}`,
				token: "$root", status: 200, save: "good=auth.client_token"},
			exchange{method: "POST", path: "sys/capabilities-self", body: `{"path":"secret/data/app"}`,
				token: "$good", status: 200},
		)
	}
	return script
}()

var policyScript = []exchange{
	{method: "PUT", path: "sys/policies/acl/reader",
		body: `{"policy":"# who reads\npath \"secret/data/app/*\" {\n  capabilities = [\"read\", \"list\"]\n}\npath \"secret/data/app/no\" { capabilities = [\"deny\"] }\npath \"secret/metadata/+/db\" { capabilities = [\"read\"] }\n"}`, token: "$root", status: 204},
	{method: "GET", path: "sys/policies/acl/reader", token: "$root", status: 200},
	{method: "GET", path: "sys/policies/acl/nosuch", token: "$root", status: 404},
	{method: "LIST", path: "sys/policies/acl", token: "$root", status: 200},
	{method: "PUT", path: "sys/policies/acl/bad",
		body: `{"policy":"path \"x\" { capabilities = [\"fly\"] }"}`, token: "$root", status: 400},
	{method: "PUT", path: "sys/policies/acl/bad",
		body: `{"policy":"path \"x\" { speed = [\"read\"] }"}`, token: "$root", status: 400},
	{method: "PUT", path: "sys/policies/acl/bad", body: `{"policy":""}`, token: "$root", status: 400},
	{method: "PUT", path: "sys/policies/acl/root",
		body: `{"policy":"path \"x\" { capabilities = [\"read\"] }"}`, token: "$root", status: 400},
	{method: "DELETE", path: "sys/policies/acl/default", token: "$root", status: 400},
	{method: "DELETE", path: "sys/policies/acl/nosuch", token: "$root", status: 204},

	{method: "POST", path: "secret/data/app/db", body: `{"data":{"password":"x"}}`, token: "$root",
		status: 200},
	{method: "POST", path: "auth/token/create", body: `{"policies":["reader"]}`, token: "$root",
		status: 200, save: "reader=auth.client_token"},
	{method: "GET", path: "secret/data/app/db", token: "$reader", status: 200},
	{method: "GET", path: "secret/data/app/nosuch", token: "$reader", status: 404},
	{method: "GET", path: "secret/data/app/no", token: "$reader", status: 403},
	{method: "GET", path: "secret/data/other", token: "$reader", status: 403},
	{method: "GET", path: "secret/data/app", token: "$reader", status: 403},
	{method: "GET", path: "secret/metadata/app/db", token: "$reader", status: 200},
	{method: "GET", path: "secret/metadata/app/deep/db", token: "$reader", status: 403},
	{method: "GET", path: "secret/app/db", token: "$reader", status: 403},
	{method: "GET", path: "nosuch/data/app", token: "$reader", status: 403},
	{method: "PUT", path: "secret/data/app/db", body: `{"data":{}}`, token: "$reader", status: 403},
	{method: "PUT", path: "secret/data/app/new", body: `{"data":{}}`, token: "$reader", status: 403},
	{method: "DELETE", path: "secret/data/app/db", token: "$reader", status: 403},
	{method: "PUT", path: "sys/seal", token: "$reader", status: 403},
	{method: "POST", path: "sys/capabilities-self",
		body: `{"paths":["secret/data/app/db","secret/data/app/no","elsewhere"]}`, token: "$reader",
		status: 200},
	{method: "POST", path: "sys/capabilities-self", body: `{"paths":["secret/metadata/app/db"]}`,
		token: "$reader", status: 200},
	{method: "POST", path: "sys/capabilities-self", body: `{"paths":["secret/metadata/app/db"]}`,
		token: "$root", status: 200},

	// Creating a secret requires another capability than changing it.
	{method: "PUT", path: "sys/policies/acl/creator",
		body: `{"policy":"path \"secret/data/*\" { capabilities = [\"create\"] }"}`, token: "$root",
		status: 204},
	{method: "POST", path: "auth/token/create", body: `{"policies":["creator"]}`, token: "$root",
		status: 200, save: "creator=auth.client_token"},
	{method: "PUT", path: "secret/data/fresh", body: `{"data":{}}`, token: "$creator", status: 200},
	{method: "PUT", path: "secret/data/fresh", body: `{"data":{}}`, token: "$creator", status: 403},

	// A denial in one policy overrides a grant in another.
	{method: "PUT", path: "sys/policies/acl/denier",
		body: `{"policy":"path \"secret/data/app/*\" { capabilities = [\"deny\"] }"}`, token: "$root",
		status: 204},
	{method: "POST", path: "auth/token/create", body: `{"policies":["reader","denier"]}`,
		token: "$root", status: 200, save: "both=auth.client_token"},
	{method: "GET", path: "secret/data/app/db", token: "$both", status: 403},
	{method: "GET", path: "sys/internal/ui/mounts/secret", token: "$both", status: 200},

	// A policy is looked up at every request.
	{method: "DELETE", path: "sys/policies/acl/denier", token: "$root", status: 204},
	{method: "GET", path: "secret/data/app/db", token: "$both", status: 200},
}
