package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestCheck breaks each rule once.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		file, imported, want string
	}{
		{"internal/backend/awssm/a.go", "/internal/fetch", "does not allow it"},
		{"internal/backend/awssm/a_test.go", "/internal/fetch", "does not allow it"},
		{"internal/backend/awssm/a_windows.go", "/internal/fetch", "does not allow it"},
		{"internal/backend/awssm/a.go", "/internal/backend/vaultkv", "does not allow it"},
		{"internal/backend/awssm/a.go", "/internal/backend", ""},
		{"internal/backend/b.go", "/internal/backend/awssm", "does not allow it"},
		{"internal/fetch/f.go", "/internal/backend/awssm", "does not allow it"},
		{"internal/fetch/f.go", "/internal/backend", ""},
		{"internal/fetch/retry/r.go", "/internal/fetch", "does not allow it"},
		{"internal/atlassian/jdbc/j.go", "/internal/backend", "does not allow it"},
		{"internal/keyring/k.go", "/internal/backend/httpguard", "does not allow it"},
		{"internal/keyring/k.go", "", "does not allow it"},
		{"internal/keyring/k_test.go", "", "does not allow it"},
		{"internal/keyring/rotate/r_test.go", "/internal/keyring/store/boltstore", ""},
		{"internal/fault/f.go", "/internal/ref", "does not allow it"},
		{"internal/secfile/s.go", "/internal/jsonptr", "does not allow it"},
		{"internal/keyring/k.go", "/internal/keyring/store/storetest", "a test package"},
		{"internal/keyring/k_test.go", "/internal/keyring/store/storetest", ""},
		{"internal/newcomer/n.go", "/internal/fault", "no rule for"},
		{"internal/tools/prose/p.go", "", "does not allow it"},
		{"internal/e2e/e_test.go", "", ""},
		{"internal/bench/programs/secretref/main.go", "", ""},
		{"examples/service/main.go", "", ""},
		{"examples/service/main.go", "/internal/fault", "does not allow it"},
		{"examples/service/main_test.go", "/internal/fault", "does not allow it"},
		{"examples/service/main.go", "/internal/test/fakeaws", "a test package"},
		{"providertest/p.go", "/internal/fault", "does not allow it"},
		{"cmd/secretref/main.go", "/internal/fault", ""},
		{"cmd/secretref/main.go", "/internal/test/fakeaws", "a test package"},
		{"resolver.go", "/internal/fetch", ""},
		{"resolver.go", "/internal/test/fakeaws", "a test package"},
		{"resolver_test.go", "", ""},
		{"testdata/t.go", "/internal/test/fakeaws", ""},
	} {
		source := "package p\n\nimport _ \"" + module + test.imported + "\"\n"
		imports, err := readImports(fstest.MapFS{test.file: {Data: []byte(source)}})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(check(imports), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s imports %q: %q, want %q", test.file, test.imported, got, test.want)
		}
		if got != "" && !strings.HasPrefix(got, test.file+":3: ") {
			t.Errorf("no position in %q", got)
		}
	}
}
