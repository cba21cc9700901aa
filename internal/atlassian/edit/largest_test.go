package edit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/edit"
)

// With quadratic time this would take hours.
func TestApplyLargestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		change edit.Change
		text   func(n int) string
	}{
		"equal keys": {"bitbucket.properties", edit.Change{Value: "new"}, func(n int) string {
			return strings.Repeat("jdbc.password=old\n", n)
		}},
		"equal classes": {"bitbucket.properties", edit.Change{Value: "new"}, func(n int) string {
			return strings.Repeat("jdbc.password.decrypter.classname=com.example.Class\n", n) +
				"jdbc.password=old\n"
		}},
		"equal XML": {"confluence.cfg.xml", edit.Change{Value: "new"}, func(n int) string {
			return "<confluence-configuration><properties>" +
				strings.Repeat("<property name=\"hibernate.connection.password\">old</property>\n", n) +
				"</properties></confluence-configuration>"
		}},
		"equal XML classes": {"confluence.cfg.xml", edit.Change{Value: "new"}, func(n int) string {
			return "<confluence-configuration><properties><property name=\"hibernate.connection.password\">{}</property>\n" +
				strings.Repeat("<property name=\"jdbc.password.decrypter.classname\">com.example.Class</property>\n", n) +
				"</properties></confluence-configuration>"
		}},
		"many references": {"bitbucket.properties", edit.Change{Value: "new"}, func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "a.%06d={ENC}{\"region\":\"eu-west-1\",\"secretId\":\"x\"}\n", i)
			}
			return b.String() +
				"encrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\njdbc.password=old\n"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			largest := 4 << 20 // the limit for configuration files
			if testing.Short() {
				largest = 1 << 17
			}
			line := len(c.text(2)) - len(c.text(1))
			text := []byte(c.text((largest - len(c.text(0))) / line))
			_, err := edit.Apply(c.file, text, c.change)
			require.NoError(t, err)
		})
	}
}
