package set

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/ref"
)

// productTitle returns a product's name with a capital letter.
func productTitle(p secretref.Product) string {
	return strings.ToUpper(string(p[:1])) +
		string(p[1:])
}

// versionNote returns the product version that a cipher class requires. The build
// number is that in the file, if it has one.
func versionNote(p secretref.Product, s atlassian.CipherClass, build string) string {
	type pair struct {
		product secretref.Product
		class   atlassian.CipherClass
	}
	minVersion, ok := map[pair]string{
		{secretref.Jira, atlassian.AWSClass}:       "9.11",
		{secretref.Confluence, atlassian.AWSClass}: "8.6",
		{secretref.Bitbucket, atlassian.AWSClass}:  "8.13",
		{secretref.Jira, atlassian.VaultClass}:     "9.13",
	}[pair{p, s}]
	switch {
	case ok && p == secretref.Confluence:
		return fmt.Sprintf("this class requires %s %s or later; check every node", productTitle(p),
			minVersion) + buildNote(build)
	case ok:
		return fmt.Sprintf("this class requires %s %s or later; the file does not record the "+
			"version, so check every node", productTitle(p), minVersion)
	case s == atlassian.CustomClass:
		return fmt.Sprintf("%s must have the class on its class path on every node",
			productTitle(p))
	}
	return fmt.Sprintf("older versions of %s lack this class; see its documentation for the "+
		"version it requires", productTitle(p))
}

// buildNote mentions the build number in the file if it is a number.
func buildNote(text string) string {
	if text = strings.TrimSpace(text); text == "" || strings.Trim(text, "0123456789") != "" {
		return ""
	}
	return " (the file was written by build " + text + ")"
}

// noteSecuredPassword notes that a product will replace a plaintext password.
func (j *setOperation) noteSecuredPassword() {
	if j.config.Product == secretref.Jira {
		j.report("note", "Jira 10.2 or later moves the password into its own store at startup "+
			"and leaves %s in the file", ref.Placeholder)
	}
}

// nextStep returns the next step for the user.
func (j *setOperation) nextStep() string {
	p := productTitle(j.config.Product)
	shared := filepath.Base(filepath.Dir(j.target.path)) == "shared"
	switch j.config.Product {
	case secretref.Bitbucket, secretref.Crowd:
		if shared {
			return fmt.Sprintf("restart %s on every node; all nodes share the file", p)
		}
	}
	return fmt.Sprintf("change the file of every other node in the same way, and restart %s on "+
		"every node", p)
}

// printDiff prints the changed lines. Values that may be passwords are masked, and
// unchanged lines are omitted, since they may contain others.
func (j *setOperation) printDiff() {
	fmt.Fprintln(j.out)
	_ = ui.Line(j.out, "--- %s", j.target.path)
	_ = ui.Line(j.out, "+++ %s", j.target.path)
	for lines := j.result.Lines; len(lines) > 0; {
		n := 1
		for n < len(lines) && lines[n].Line == lines[0].Line {
			n++
		}
		fmt.Fprintf(j.out, "@@ line %d @@\n", lines[0].Line)
		for _, l := range lines[:n] {
			if l.Old != nil {
				_ = ui.Line(j.out, "-%s", j.formatSetting(l.Key, j.mask(l.Key, *l.Old)))
			}
		}
		for _, l := range lines[:n] {
			if l.New != nil {
				_ = ui.Line(j.out, "+%s", j.formatSetting(l.Key, j.mask(l.Key, *l.New)))
			}
		}
		lines = lines[n:]
	}
}

// mask returns a value of a changed line in a form that is safe to print.
func (j *setOperation) mask(key, value string) string {
	const mask = "[redacted]"
	if key != j.change.Key {
		// If class and password are swapped, it is the password.
		if class := strings.TrimSpace(value); class == j.change.Class ||
			atlassian.CipherClassOf(class) != atlassian.CustomClass {
			return class
		}
		return mask
	}
	reference, err := j.resolver.Parse(value)
	switch {
	case ref.IsPlaceholder(value):
		return ref.Placeholder
	case err != nil:
		return mask
	}
	text := reference.String()
	if _, prefixed := ref.CutPrefix(strings.TrimSpace(value)); !prefixed {
		text, _ = ref.CutPrefix(text)
	}
	return text
}

// formatSetting writes a setting in the format of its file.
func (j *setOperation) formatSetting(key, value string) string {
	switch j.config.Product {
	case secretref.Bitbucket:
		return key + "=" + value
	case secretref.Jira:
		tag := key[strings.LastIndexByte(key, '/')+1:]
		return "<" + tag + ">" + value + "</" + tag + ">"
	}
	return `<property name="` + key + `">` + value + "</property>"
}

// report prints one line under a keyword.
func (j *setOperation) report(word, format string, args ...any) {
	_ = ui.Line(j.out, "  %-7s %s", word, fmt.Sprintf(format, args...))
}
