package secretref_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestConfigRedaction(t *testing.T) {
	url := secretref.NewSecret("jdbc:postgresql://u:" + canary + "@db/x?password=" + canary)
	password := secretref.NewSecret(canary)
	config := secretref.Config{Product: secretref.Jira, Path: "dbconfig.xml", Entries: []secretref.Entry{{Key: jiraPassword, Value: password, Line: 14}}}
	database := secretref.Database{Driver: "d", URL: url, Username: "u", Schema: "s", Password: password}
	settings := secretref.Settings{Product: secretref.Jira, Database: database, Secrets: map[string]secretref.Secret{jiraPassword: password}}
	read := readConfig(t, "dbconfig.xml", jiraFile("url", "jdbc:postgresql://db/x", "username", "u", "password", canary,
		"connection-properties", "sslpassword="+canary))
	resolver := secretref.New(&secretref.Options{Fake: configFake()})
	defer resolver.Close()
	resolved, err := resolver.ResolveConfig(t.Context(), read)
	require.NoError(t, err)

	for name, v := range map[string]any{
		"config": config, "pointer to a config": &config, "entries": config.Entries, "entry": config.Entries[0],
		"database": database, "pointer to a database": &database, "settings": settings, "pointer to settings": &settings,
		"a file that was read": read, "settings of a file": resolved, "database of a file": resolved.Database,
	} {
		t.Run(name, func(t *testing.T) {
			requireSilent(t, v)
			requireSilent(t, struct{ hidden any }{v})
			// What a test library dumps when two values of one type differ: it
			// calls no methods and follows pointers into unexported fields.
			var failure recorder
			assert.Equal(&failure, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
			require.NotEmpty(t, failure.String())
			require.NotContains(t, failure.String(), canary)
		})
	}

	text, err := json.Marshal(config)
	require.NoError(t, err)
	require.JSONEq(t, `{"Product":"jira","Path":"dbconfig.xml","Entries":[{"Key":"jdbc-datasource/password","Value":"[redacted]","Line":14}]}`, string(text))
	require.Equal(t, "{jira dbconfig.xml [{jdbc-datasource/password [redacted] 14}]}", fmt.Sprint(config))
}

func TestDatabase_MaskedURL(t *testing.T) {
	d := secretref.Database{URL: secretref.NewSecret("jdbc:postgresql://u:" + canary + "@db/x?password=" + canary + "&ssl=true")}
	require.Equal(t, "jdbc:postgresql://u:[redacted]@db/x?password=[redacted]&ssl=true", d.MaskedURL())
	require.Empty(t, secretref.Database{}.MaskedURL())
	var decoded secretref.Database
	require.NoError(t, json.Unmarshal([]byte(`{"URL":"jdbc:h2:x;PASSWORD=`+canary+`"}`), &decoded))
	require.NotContains(t, decoded.MaskedURL(), canary)
}

func TestLoneSurrogate(t *testing.T) {
	utf16 := func(text string) string { // little-endian, of ASCII and one lone surrogate for each "!"
		units := "\xff\xfe"
		for _, c := range text {
			if c == '!' {
				units += "\x00\xd8"
			} else {
				units += string(c) + "\x00"
			}
		}
		return units
	}
	for name, file := range map[string][2]string{
		"in .properties":                {"bitbucket.properties", "a=1\njdbc.password=" + canary + `\uD800`},
		"in .properties, UTF-8":         {"bitbucket.properties", "a=1\njdbc.password=" + canary + "\xed\xa0\x80"},
		"in .properties, in the key":    {"bitbucket.properties", "a=1\njdbc.pass\\udc00word=" + canary},
		"in XML":                        {"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary + "&#xD800;</password></jdbc-datasource></jira-database-config>"},
		"in XML, decimal":               {"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary + "&#56832;</password></jdbc-datasource></jira-database-config>"},
		"in XML, a pair of references":  {"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary + "&#xD83D;&#xDE00;</password></jdbc-datasource></jira-database-config>"},
		"in XML, UTF-8":                 {"dbconfig.xml", "<jira-database-config>\n<jdbc-datasource><password>" + canary + "\xed\xa0\x80</password></jdbc-datasource></jira-database-config>"},
		"in XML, UTF-16":                {"dbconfig.xml", utf16("<jira-database-config>\n<jdbc-datasource><password>" + canary + "!</password></jdbc-datasource></jira-database-config>")},
		"in XML, UTF-16, cut in a unit": {"dbconfig.xml", utf16("<jira-database-config>\n<jdbc-datasource><password>"+canary) + "x"},
		"a property of Confluence":      {"confluence.cfg.xml", "<confluence-configuration><properties>\n<property name=\"hibernate.connection.password\">" + canary + "&#xD800;</property></properties></confluence-configuration>"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := secretref.ReadConfig(write(t, file[0], file[1]))
			require.ErrorIs(t, err, secretref.ErrSyntax)
			require.ErrorContains(t, err, "line 2: ")
			require.NotContains(t, err.Error(), canary)
		})
	}

	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"high":"`+canary+`\ud800","low":"\udc00","raw":"`+"\xed\xa0\x80"+`"}`)
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	for _, name := range []string{"high", "low", "raw"} {
		_, err := r.Resolve(t.Context(), `{"region":"eu-west-1","secretId":"db","secretPointer":"/`+name+`"}`)
		require.ErrorIs(t, err, secretref.ErrPointer, name)
		require.NotContains(t, err.Error(), canary)
	}
}
