package secretref_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkShell runs the shell blocks of each page, one after the other in a
// directory of their own, and checks each command line of secretref.
func checkShell(t *testing.T, pages []page) {
	shell, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no shell")
	}
	bin, help := "", map[string]string{}
	if !testing.Short() {
		bin = buildCommand(t)
		help = subcommandHelp(t, bin)
	}
	for _, p := range pages {
		t.Run(strings.ReplaceAll(p.file, "/", "_"), func(t *testing.T) {
			if bin != "" {
				for _, line := range p.commandLines() {
					checkCommandLine(t, help, p.file, line)
				}
			}
			dir := t.TempDir()
			for _, b := range p.blocks {
				if b.language != "sh" && b.language != "console" {
					continue
				}
				steps := b.steps()
				var script strings.Builder
				for _, s := range steps {
					script.WriteString(s.command)
				}
				parse := exec.Command(shell, "-n")
				parse.Stdin = strings.NewReader(script.String())
				out, err := parse.CombinedOutput()
				assert.NoError(t, err, "%s: %s", b, out)
				if !b.skipped() && bin != "" {
					runSteps(t, shell, bin, dir, b, steps)
				}
			}
		})
	}
}

// buildCommand returns the directory that has the command in it.
func buildCommand(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := goCommand("build", "-o", filepath.Join(bin, "secretref"), ".")
	build.Dir = filepath.Join("cmd", "secretref")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// A step is a command with the output that the page shows after it.
type step struct{ command, output string }

// steps splits a console block at its prompts. A sh block is one step, whose
// output is not shown.
func (b block) steps() []step {
	if b.language == "sh" {
		return []step{{b.text, "…\n"}}
	}
	var steps []step
	continued := false
	for s := range strings.Lines(b.text) {
		command, prompt := strings.CutPrefix(s, "$ ")
		switch {
		case prompt:
			steps = append(steps, step{command: command})
		case continued:
			steps[len(steps)-1].command += s
		case len(steps) > 0:
			steps[len(steps)-1].output += s
		}
		continued = (prompt || continued) && strings.HasSuffix(s, "\\\n")
	}
	return steps
}

// runSteps runs the steps of a block in one shell and compares what they print
// with what the page shows. In the page "…" stands for any text.
func runSteps(t *testing.T, shell, bin, dir string, b block, steps []step) {
	const mark = "\x1e" // between the outputs of two steps
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, s := range steps {
		script.WriteString(s.command + "printf '\\036'\n")
	}
	run := exec.Command(shell)
	run.Dir, run.Stdin = dir, strings.NewReader(script.String())
	run.Env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir}
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	err := run.Run()
	if !assert.NoError(t, err, "%s: %s", b, &stderr) {
		return
	}
	printed := strings.Split(stdout.String(), mark)
	for i, s := range steps {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(s.output)), "…", ".*")
		assert.Regexp(t, `(?s)\A\s*`+pattern+`\s*\z`, printed[i], "%s: %s", b, s.command)
	}
}

// commandLines returns every use of the command in shell blocks and in code
// within prose.
func (p page) commandLines() (lines []string) {
	for _, b := range p.blocks {
		if b.language == "go" || b.language == "json" {
			continue
		}
		s := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(b.text, "\\\n", " ")))
		for s.Scan() {
			line, _, _ := strings.Cut(s.Text(), " # ")
			if at := commandUse.FindStringIndex(line); at != nil {
				lines = append(lines, line[at[1]:])
			}
		}
	}
	for _, code := range inlineCode.FindAllString(p.prose, -1) {
		if use, ok := strings.CutPrefix(strings.Trim(code, "`"), "secretref "); ok {
			lines = append(lines, use)
		}
	}
	return lines
}

// commandUse matches the word secretref where it is a command.
var commandUse = regexp.MustCompile(`(^|[ |;(/])secretref `)

// checkCommandLine checks the subcommand and the flags of one use of the command
// against its help.
func checkCommandLine(t *testing.T, helps map[string]string, file, line string) {
	words := shellWords(line)
	if len(words) == 0 || !isWord(words[0]) {
		return // a path such as secretref/cmd/secretref
	}
	name := words[0]
	if name == "help" {
		return
	}
	help, ok := helps[name]
	if !assert.True(t, ok, "%s: secretref %s: there is no such subcommand", file, line) {
		return
	}
	subcommands := map[string]bool{}
	if name == "keys" {
		for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]+)`).FindAllStringSubmatch(help, -1) {
			subcommands[m[1]] = true
		}
	}
	found := name != "keys" || len(words) == 1
	for _, word := range words[1:] {
		if word == "--" {
			break
		}
		found = found || subcommands[word]
		flag := strings.Trim(word, "[]…")
		if len(flag) < 2 || flag[0] != '-' {
			continue
		}
		flag, _, _ = strings.Cut("-"+strings.TrimLeft(flag, "-"), "=")
		known := regexp.MustCompile(`(^|[\s\[,])` + regexp.QuoteMeta(flag) + `($|[\s\],])`)
		assert.Regexp(t, known, help, "%s: secretref %s: there is no flag %s", file, line, flag)
	}
	assert.True(t, found, "%s: secretref %s: keys has no such command", file, line)
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// subcommandHelp returns the help of each subcommand that the command lists.
func subcommandHelp(t *testing.T, bin string) map[string]string {
	t.Helper()
	command := filepath.Join(bin, "secretref")
	usage, err := exec.Command(command, "help").Output()
	require.NoError(t, err)
	helps := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +secretref ([a-z]+)`).FindAllSubmatch(usage, -1) {
		name := string(m[1])
		if name == "help" {
			continue
		}
		help, err := exec.Command(command, "help", name).Output()
		require.NoError(t, err)
		helps[name] = string(help)
	}
	require.NotEmpty(t, helps)
	return helps
}

// shellWords splits a command line as far as its flags need it: it ends at a
// pipe, a redirection or a separator, and a quoted word is one word.
func shellWords(line string) (words []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		word := line
		switch c := line[0]; {
		case strings.ContainsRune("|;&><)", rune(c)):
			return words
		case c == '\'' || c == '"':
			end := strings.IndexByte(line[1:], c)
			if end < 0 {
				return words
			}
			word = line[:end+2]
		default:
			if end := strings.IndexAny(line, " ;|)"); end >= 0 {
				word = line[:end]
			}
		}
		words, line = append(words, word), line[len(word):]
	}
	return words
}
