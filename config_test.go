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
