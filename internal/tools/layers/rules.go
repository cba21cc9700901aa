package main

// A rule lists the packages of this repository that a group of packages may import. Packages are
// written relative to the module path: "." is the root package, "internal/ref" a single package,
// "internal/fetch/..." a package and everything below it.
//
// A package obeys the first rule that matches it. Its tests obey the same rule and may also import
// test packages and their own area: "internal/keyring/..." for any package below internal/keyring.
type rule struct {
	packages  []string
	mayImport []string
}

// testPackages are imported by tests and by other test packages only.
var testPackages = []string{
	"internal/test/...",
	"internal/atlassian/cipher/javaobj/javaobjtest",
	"internal/backend/backendtest",
	"internal/keyring/store/storetest",
}

// leaves know nothing of stores, of products, or of each other beyond their own rules.
var leaves = []string{
	"internal/endpoint",
	"internal/fault",
	"internal/jsonptr",
	"internal/ref",
	"internal/secfile",
	"internal/sqlstate",
	"internal/structwalk",
}

var rules = []rule{
	{list("internal/fault", "internal/endpoint", "internal/sqlstate"), nil},
	{list("internal/jsonptr", "internal/secfile", "internal/structwalk"), list("internal/fault")},
	{list("internal/ref"), list("internal/endpoint", "internal/fault", "internal/jsonptr")},

	// A backend makes one attempt to fetch one list of secrets. It does not know that there is a
	// cache, and no backend knows another one. Backoff and single flight are tools for its logins.
	{list("internal/backend"), leaves},
	{list("internal/backend/..."), list(leaves, "internal/backend", "internal/backend/httpguard",
		"internal/fetch/retry", "internal/fetch/singleflight")},

	// Fetching is written against the interface of a backend, never against one of them.
	{list("internal/fetch/retry", "internal/fetch/singleflight"), list("internal/fault")},
	{list("internal/fetch/..."), list(leaves, "internal/backend", "internal/fetch/...")},

	{list("internal/sqlconn"), leaves},
	{list("internal/atlassian/..."), list(leaves, "internal/atlassian/...")},
	{list("internal/keyring/..."), list(leaves, "internal/keyring/...")},

	// The fakes speak a wire protocol and share no code with what they test.
	{list("internal/test/..."), list("internal/test/...")},

	// These are modules of their own.
	{list("internal/tools/..."), list("internal/tools/...")},
	{list("internal/e2e/...", "internal/bench/..."), list(".", "examples/...", "internal/...")},

	// The root package wires the internal ones together. The command may use them as well; users'
	// code, and therefore every example, has only the public packages.
	{list("."), list("internal/...")},
	{list("providertest"), list(".")},
	{list("cmd/secretref/..."), list(".", "cmd/secretref/...", "internal/...")},
	{list("examples/..."), list(".", "providertest", "examples/...")},
}

// list returns its arguments, strings and lists of strings, as one list.
func list(items ...any) []string {
	var all []string
	for _, item := range items {
		switch item := item.(type) {
		case string:
			all = append(all, item)
		case []string:
			all = append(all, item...)
		}
	}
	return all
}
