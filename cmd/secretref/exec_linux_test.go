package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// program is the installed command and the fixture that it runs in.
type program struct {
	*fixture
	path string
}

// TestExec runs the built program, since exec replaces the process.
func TestExec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secretref")
	built, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)
	for name, test := range map[string]func(p *program){
		"resolves variables and keeps others unchanged":  resolvesVariables,
		"removes our credentials":                        removesCredentials,
		"passes on look-alikes":                          passesOnLookAlikes,
		"resolves only selected variables":               resolvesOnlySelected,
		"names variables in its warnings":                namesVariablesInWarnings,
		"names variables in the warnings of the library": namesVariablesInLibraryWarnings,
		"keeps the first of duplicate variables":         keepsFirstDuplicate,
		"returns the status of the command":              returnsStatus,
		"delivers signals to the command":                deliversSignals,
		"keeps an interrupt ignored":                     keepsInterruptIgnored,
		"passes on input and output":                     passesOnInputAndOutput,
		"starts nothing if a reference fails":            startsNothingAfterFailure,
		"ends on a signal while resolving":               endsOnSignal,
		"closes its files and the keyring":               closesFiles,
		"reports a script without interpreter":           reportsMissingInterpreter,
		"keeps some ignored signals":                     keepsIgnoredSignals,
		"names the longest entry if there are too many":  namesLongestEntry,
		"warns of verbatim special characters":           warnsOfVerbatim,
		"refuses secrets after a possible end of a URL":  refusesAfterURL,
		"percent-encodes in lists of hosts and URLs":     encodesInLists,
	} {
		t.Run(name, func(t *testing.T) { test(&program{newFixture(t), path}) })
	}
}

// environment returns the environment for the program, in order.
func (p *program) environment(more ...string) (env []string) {
	for _, entry := range os.Environ() {
		for _, prefix := range []string{"AWS_", "SECRET_STORE_", "PATH=", "GODEBUG="} {
			if strings.HasPrefix(entry, prefix) && !strings.HasSuffix(entry, "=") {
				env = append(env, entry)
			}
		}
	}
	for _, entry := range more {
		env = append(env, p.fill(entry))
	}
	return env
}

// start starts the program with exactly this environment.
func (p *program) start(env []string, in, out, errs *os.File, args ...string) *os.Process {
	p.t.Helper()
	started, err := os.StartProcess(p.path, append([]string{"secretref", "exec"}, args...),
		&os.ProcAttr{Dir: p.dir, Env: env, Files: []*os.File{in, out, errs}})
	require.NoError(p.t, err)
	return started
}

// exec runs the program to completion and fails if standard error contains a secret.
func (p *program) exec(env []string, stdin string, args ...string) outcome {
	p.t.Helper()
	var files [3]*os.File
	for i, name := range []string{"in", "out", "err"} {
		f, err := os.Create(filepath.Join(p.dir, "std"+name))
		require.NoError(p.t, err)
		defer f.Close()
		files[i] = f
	}
	_, err := files[0].WriteAt([]byte(stdin), 0)
	require.NoError(p.t, err)
	state, err := p.start(env, files[0], files[1], files[2], args...).Wait()
	require.NoError(p.t, err)
	var texts [3]string
	for i, f := range files {
		text, err := os.ReadFile(f.Name())
		require.NoError(p.t, err)
		texts[i] = string(text)
	}
	assert.NotContains(p.t, texts[2], canary)
	status := state.ExitCode()
	if s := state.Sys().(syscall.WaitStatus); s.Signaled() {
		status = -int(s.Signal())
	}
	return outcome{status, texts[1], texts[2]}
}

// entries returns the environment that "cat /proc/self/environ" printed.
func entries(out string) []string { return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") }

func resolvesVariables(p *program) {
	const plain = "canary:/?#[]@!$&'()*+,;=% é~"
	p.vault.Put("secret", "url", map[string]any{"password": plain})
	const inURL = `{ENC}{"mount":"secret","path":"url","key":"password","endpoint":"http://VAULT"}`
	same := []string{
		"PLAIN=canary plain ", "EMPTY=", "BLANK= \t", "BYTES=\xff\xfe{", "JSON={\"a\":1}", "BRACES=${x}{",
		"HTTP=http://a/{b}?c=%7B;",
		"BASH_FUNC_f%%=() {  echo \"$1\";\n}", "LINES=a\nb=c\n", "1.odd-näme=x", "=odd", "no equals sign",
		"SECRETREF_STORE_PASSWORD={ENC}" + trackerSecret,
		"ARN=arn:aws:secretsmanager:eu-west-1:1:secret:x", "VALS=ref+awsssm://x",
	}
	env := p.environment(append(same,
		"PASSWORD={ENC}"+trackerSecret,
		"BARE= "+trackerSecret+"\n",
		`ANGLE=<ENC><"region":"ap-southeast-2","secretId":"tracker/db","secretPointer":"/port">`,
		"odd.näme%%="+strings.Replace(trackerSecret, "/password", "/username", 1),
		"WIKI="+wikiSecret,
		"URL=postgres://app:"+inURL+"@db/app?application_name=x;y",
		"JDBC=jdbc:postgresql://db/app?user=app&password="+inURL,
		"QUERY=redis://h/0?password={ENC}"+trackerSecret+"&x={ENC}"+trackerSecret,
		"SQLSERVER=jdbc:sqlserver://db;user=sa;password={ENC}"+trackerSecret+";encrypt=true",
		"SQLSERVER_HOST=jdbc:sqlserver://{ENC}"+strings.Replace(trackerSecret, "/password",
			"/db/host", 1)+";password="+inURL,
		"JAVA_OPTS=-Xmx1g -Durl=jdbc:postgresql://db/app?password="+inURL+" -Dother="+inURL,
		"GO_MYSQL=app:{ENC}"+trackerSecret+"@tcp(db:3306)/app",
		"DSN=host=db user={ENC}"+strings.Replace(trackerSecret, "/password", "/username",
			1)+" password={ENC}"+trackerSecret,
	)...)
	got := p.exec(env, "", "-keep", "SECRETREF_STORE_PASSWORD,SECRET_STORE_VAULT_TOKEN", "--",
		"cat", "/proc/self/environ")
	require.Equal(p.t, ui.StatusOK, got.status, got.err)

	const encoded = "canary%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25%20%C3%A9~"
	assert.Equal(p.t, p.environment(append(same,
		"PASSWORD=canary-tracker",
		"BARE=canary-tracker",
		"ANGLE=5432",
		"odd.näme%%=tracker",
		"WIKI=canary-wiki",
		"URL=postgres://app:"+encoded+"@db/app?application_name=x;y",
		"JDBC=jdbc:postgresql://db/app?user=app&password="+encoded,
		"QUERY=redis://h/0?password=canary-tracker&x=canary-tracker",
		"SQLSERVER=jdbc:sqlserver://db;user=sa;password=canary-tracker;encrypt=true",
		"SQLSERVER_HOST=jdbc:sqlserver://canary-host;password="+plain,
		"JAVA_OPTS=-Xmx1g -Durl=jdbc:postgresql://db/app?password="+encoded+" -Dother="+plain,
		"GO_MYSQL=app:canary-tracker@tcp(db:3306)/app",
		"DSN=host=db user=tracker password=canary-tracker",
	)...), entries(got.out))
	assert.Equal(p.t, 1, p.aws.Calls(), "one secret is one fetch")
	assert.Equal(p.t, 2, p.vault.Calls(), "of two secrets")
	assert.Equal(p.t, "secretref: warning: variable ARN is passed on unchanged: unsupported: a "+
		"bare ARN is not a secret reference; "+
		"write the coordinates, for example {\"region\":\"eu-west-1\",\"secretId\":\"arn:…\"}\n"+
		"secretref: warning: variable VALS is passed on unchanged: unsupported: this is a "+
		"reference of vals (helmfile); "+
		"write the coordinates, for example {\"region\":\"eu-west-1\",\"secretId\":\"name\"}\n"+
		"secretref: warning: variable SQLSERVER_HOST: the secret was inserted into other text "+
		"verbatim, and one of its characters may have a meaning there\n"+
		"secretref: warning: variable JAVA_OPTS: the secret was inserted into other text "+
		"verbatim, and one of its characters may have a meaning there\n", p.withoutPlainHTTP(got.err))
}

// withoutPlainHTTP removes the warnings that the library logs about fakes without TLS.
func (p *program) withoutPlainHTTP(errs string) string {
	var kept strings.Builder
	for line := range strings.Lines(errs) {
		if !strings.Contains(line, "http") || strings.Contains(line, "variable") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func removesCredentials(p *program) {
	p.must("canary-kept", "keys", "-store", "DIR/k.db", "put", "db")
	ours := []string{"SECRETREF_STORE_PASSWORD=canary", "SECRETREF_STORE=DIR/k.db",
		"SECRETREF_ANY={ENC}canary"}
	others := []string{"SECRETREF=canary", "VAULT_TOKEN=canary", "PGPASSWORD=canary",
		"AWS_SESSION_TOKEN=", "secret_store_vault_token=canary"}
	env := p.environment(slices.Concat(ours, others,
		[]string{"WIKI=" + wikiSecret, `KEPT={"keyring":"db"}`, "EMPTY="})...)
	require.True(p.t, slices.ContainsFunc(env,
		func(e string) bool { return strings.HasPrefix(e, "SECRET_STORE_VAULT_TOKEN=") }))
	for _, args := range [][]string{{}, {"-only", "WIKI,KEPT,SECRET_STORE_VAULT_TOKEN"},
		{"-skip", "SECRET_STORE_VAULT_TOKEN"}} {
		got := p.exec(env, "", slices.Concat(args, []string{"--", "cat", "/proc/self/environ"})...)
		require.Equal(p.t, ui.StatusOK, got.status, got.err)
		left := entries(got.out)
		for _, e := range left {
			assert.False(p.t, strings.HasPrefix(e, "SECRETREF_") ||
				strings.HasPrefix(e, "SECRET_STORE_VAULT_TOKEN="), e)
		}
		for _, e := range append(others, "WIKI=canary-wiki", "KEPT=canary-kept", "EMPTY=") {
			assert.Contains(p.t, left, e)
		}
	}
	// There is nothing to resolve.
	got := p.exec(p.environment(ours...), "", "-skip", "KEPT,WIKI", "-keep", "SECRETREF_ANY", "--",
		"cat", "/proc/self/environ")
	require.Equal(p.t, ui.StatusOK, got.status, got.err)
	assert.Contains(p.t, entries(got.out), "SECRETREF_ANY={ENC}canary")
	assert.NotContains(p.t, got.out, "SECRETREF_STORE")
	assert.NotContains(p.t, got.out, "SECRET_STORE_VAULT_TOKEN")
}

func passesOnLookAlikes(p *program) {
	const other = `OTHER={"region":"eu-west-1"}`
	got := p.exec(p.environment(other, "WIKI="+wikiSecret), "", "--", "cat", "/proc/self/environ")
	require.Equal(p.t, ui.StatusOK, got.status, got.err)
	assert.Contains(p.t, entries(got.out), other)
	assert.Contains(p.t, entries(got.out), "WIKI=canary-wiki")
	assert.Contains(p.t, got.err,
		"secretref: warning: variable OTHER looks like a malformed reference and is passed on "+
			"unchanged")
}

func resolvesOnlySelected(p *program) {
	env := p.environment("A="+trackerSecret, "B={ENC}"+trackerSecret, `MISTAKE={"region":"x"}`,
		"C="+trackerSecret)
	for _, c := range []struct {
		flags    []string
		resolved string
	}{
		{[]string{"-skip", "MISTAKE"}, "ABC"},
		{[]string{"-only", "A, C"}, "AC"},
		{[]string{"-only", "A", "-only", "B", "-skip", "B,C"}, "A"},
		{[]string{"-strict", "-only", "B,C"}, "BC"},
		{[]string{"-only", "NOWHERE"}, ""},
	} {
		got := p.exec(env, "", append(c.flags, "--", "cat", "/proc/self/environ")...)
		require.Equal(p.t, ui.StatusOK, got.status, got.err)
		resolved := ""
		for _, entry := range entries(got.out) {
			if name, value, _ := strings.Cut(entry, "="); value == "canary-tracker" {
				resolved += name
			}
		}
		assert.Equal(p.t, c.resolved, resolved, "%v", c.flags)
		assert.Equal(p.t, c.resolved == "",
			got.err == "secretref: warning: variable NOWHERE is not set\n", got.err)
	}
}

func namesVariablesInWarnings(p *program) {
	p.aws.PutSecret("ap-southeast-2", "spaced", "canary with spaces")
	env := p.environment(
		`FIRST=`+trackerSecret,
		`TEXT=password={ENC}{"region":"ap-southeast-2","secretId":"spaced"}`,
		`WHOLE={"region":"ap-southeast-2","secretId":"spaced"}`,
		`EMPTY={"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"}`,
	)
	got := p.exec(env, "", "--", "sh", "-c",
		`test -z "$EMPTY" && test "$TEXT" = "password=canary with spaces"`, "sh", "x={ENC}"+trackerSecret)
	assert.Equal(p.t,
		outcome{err: `secretref: warning: the secret is empty (source variable EMPTY, reference {ENC}{"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"})
secretref: warning: variable TEXT: the secret was inserted into other text verbatim, and one of its characters may have a meaning there
secretref: warning: argument 4 of the command contains a reference and is passed on unchanged: only variables are resolved
`}, got)
}

func namesVariablesInLibraryWarnings(p *program) {
	env := p.environment(
		`NEWLINE={"region":"ap-southeast-2","secretId":"newline"}`,
		`AGAIN=a={ENC}{"region":"ap-southeast-2","secretId":"newline"}{ENC}{"region":"ap-southeast-2","secretId":"newline"}`,
		`OBJECT={"region":"ap-southeast-2","secretId":"tracker/db"}`,
	)
	got := p.exec(env, "", "--", "true")
	lines := strings.SplitAfter(got.err, "\n")
	slices.Sort(lines)
	assert.Equal(p.t, `
secretref: warning: the secret ends in a newline, which is part of the password (source variable NEWLINE and variable AGAIN, reference {ENC}{"region":"ap-southeast-2","secretId":"newline"})
secretref: warning: the whole secret is a JSON object: is the secretPointer missing? (source variable OBJECT, reference {ENC}{"region":"ap-southeast-2","secretId":"tracker/db"})
secretref: warning: variable AGAIN: the secret was inserted into other text verbatim, and one of its characters may have a meaning there
`, "\n"+strings.Join(lines, ""))
}

func keepsFirstDuplicate(p *program) {
	got := p.exec(p.environment("TWICE="+trackerSecret, "TWICE=second"), "", "-keep",
		"SECRET_STORE_VAULT_TOKEN", "--", "cat", "/proc/self/environ")
	require.Equal(p.t, ui.StatusOK, got.status)
	assert.Equal(p.t, p.environment("TWICE=canary-tracker"), entries(got.out))
}

func returnsStatus(p *program) {
	env := p.environment("A=" + trackerSecret)
	for script, want := range map[string]int{
		"exit 0":        0,
		"exit 7":        7,
		"exit 127":      127,
		"kill -KILL $$": -int(syscall.SIGKILL),
		"kill -TERM $$": -int(syscall.SIGTERM),
		"kill -INT $$":  -int(syscall.SIGINT),
	} {
		assert.Equal(p.t, outcome{status: want}, p.exec(env, "", "--", "sh", "-c", script), script)
	}
}

func passesOnInputAndOutput(p *program) {
	text := strings.Repeat("all of it\x00\n", 100_000)
	got := p.exec(p.environment("A="+trackerSecret), text, "--", "sh", "-c", "cat; echo said >&2")
	assert.Equal(p.t, ui.StatusOK, got.status)
	assert.True(p.t, text == got.out)
	assert.Equal(p.t, "said\n", got.err)
}

func startsNothingAfterFailure(p *program) {
	for _, bad := range []string{
		`BAD={"region":"ap-southeast-2","secretId":"nowhere"}`,
		`BAD={ENC}{"region":"ap-southeast-2","secretID":"tracker/db"}`,
		`BAD={ATL_SECURED}`,
	} {
		got := p.exec(p.environment("A="+trackerSecret, bad), "", "--", "touch",
			filepath.Join(p.dir, "started"))
		assert.Equal(p.t, ui.StatusFailed, got.status)
		assert.Contains(p.t, got.err, "secretref: variable BAD: ")
		assert.Empty(p.t, got.out)
		assert.NoFileExists(p.t, filepath.Join(p.dir, "started"))
	}
	assert.Equal(p.t, 2, p.aws.Calls(), "mistakes are reported before anything is fetched")
}

func closesFiles(p *program) {
	store := filepath.Join(p.dir, "k.db")
	require.Equal(p.t, ui.StatusOK,
		p.do("canary-kept", false, "keys", "-store", store, "put", "db").status)
	const open = `for f in /proc/$$/fd/*; do echo "${f##*/}"; done`
	// including the files that this process inherited
	directly, err := exec.Command("sh", "-c", open).Output()
	require.NoError(p.t, err)
	got := p.exec(p.environment(`A={"keyring":"db"}`, "B="+wikiSecret, "C="+trackerSecret), "",
		"-store", store, "--",
		"sh", "-c", open+`; printf %s "$A$B" | timeout 20 "$0" keys -store "$1" put both`, p.path, store)
	require.Equal(p.t, ui.StatusOK, got.status, got.err)
	assert.Equal(p.t, string(directly), got.out)
	assert.Equal(p.t, "canary-keptcanary-wiki",
		p.do("", false, "keys", "-store", store, "get", "both").out)
}

func namesLongestEntry(p *program) {
	long := strings.Repeat("canary", 12_000)
	p.aws.PutSecret("ap-southeast-2", "long", long)
	const ref = `{ENC}{"region":"ap-southeast-2","secretId":"long"}`
	got := p.exec(p.environment("A="+trackerSecret, "LONG=x"+ref+ref, "B="+trackerSecret), "", "--",
		"true")
	assert.Equal(p.t, outcome{status: 126,
		err: "secretref: true: cannot run the command: argument list too long; the longest of " +
			"its arguments and variables is variable LONG\n"}, got)
}

func reportsMissingInterpreter(p *program) {
	for name, text := range map[string]string{"plain": "exit 0\n",
		"absent": "#!/no/such/interpreter\n"} {
		script := filepath.Join(p.dir, name)
		require.NoError(p.t, os.WriteFile(script, []byte(text), 0o755))
		got := p.exec(p.environment(), "", "--", script)
		assert.Equal(p.t, 126, got.status)
		assert.Contains(p.t, got.err, "cannot run the command: ")
	}
	big := p.exec(p.environment("A="+trackerSecret, "BIG="+strings.Repeat("x", 100_000)), "", "--",
		"true")
	assert.Equal(p.t, ui.StatusOK, big.status)
}
