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

// productTitle is a product's name in a sentence.
func productTitle(p secretref.Product) string { return strings.ToUpper(string(p[:1])) + string(p[1:]) }

// versionNote says which version of a product knows the class of a store. Some have
// their build number in the file.
func versionNote(p secretref.Product, s atlassian.CipherClass, build string) string {
	type pair struct {
		product secretref.Product
		store   atlassian.CipherClass
	}
	least, ok := map[pair]string{
		{secretref.Jira, atlassian.AWSClass}:       "9.11",
		{secretref.Confluence, atlassian.AWSClass}: "8.6",
		{secretref.Bitbucket, atlassian.AWSClass}:  "8.13",
		{secretref.Jira, atlassian.VaultClass}:     "9.13",
	}[pair{p, s}]
	switch {
	case ok && p == secretref.Confluence:
		return fmt.Sprintf("%s knows this class from %s on: make sure that no node is older", productTitle(p), least) + buildNote(build)
	case ok:
		return fmt.Sprintf("%s knows this class from %s on, which the file does not tell: make sure that no node is older", productTitle(p), least)
	case s == atlassian.CustomClass:
		return fmt.Sprintf("%s must have the class on its class path, on every node", productTitle(p))
	}
	return fmt.Sprintf("look up in the guides whether your version of %s knows this class: older ones do not", productTitle(p))
}

// buildNote tells of a build number, if it is one.
func buildNote(text string) string {
	if text = strings.TrimSpace(text); text == "" || strings.Trim(text, "0123456789") != "" {
		return ""
	}
	return " (the file is of build " + text + ")"
}

// noteSecuredPassword tells what a product does with a password in plain text.
func (j *setOperation) noteSecuredPassword() {
	if j.config.Product == secretref.Jira {
		j.report("note", "Jira from 10.2 on moves the password into a store of its own when it starts, and leaves %s", ref.Placeholder)
	}
}

// nextStep says what to do now.
func (j *setOperation) nextStep() string {
	p := productTitle(j.config.Product)
	shared := filepath.Base(filepath.Dir(j.target.path)) == "shared"
	switch j.config.Product {
	case secretref.Bitbucket, secretref.Crowd:
		if shared {
			return fmt.Sprintf("all nodes share the file: restart %s, on every node", p)
		}
	}
	return fmt.Sprintf("each node has a file of its own: do the same with theirs, then restart %s, on every node", p)
}

// printDiff prints what would change, line by line. What may be a password
// is masked, and lines that do not change are left out, for they may have others.
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

// mask returns a value of a changed line as it may be shown.
func (j *setOperation) mask(key, value string) string {
	const mask = "[redacted]"
	if key != j.change.Key {
		// Where class and password are swapped it is the password.
		if class := strings.TrimSpace(value); class == j.change.Class || atlassian.CipherClassOf(class) != atlassian.CustomClass {
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

// formatSetting is a setting in the form of its file.
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
