package secretref_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestReadConfig(t *testing.T) {
	for home, want := range map[string]struct {
		product secretref.Product
		file    string
		entries []setting
	}{
		"testdata/jira": {secretref.Jira, "dbconfig.xml", []setting{
			{Key: "name", Value: "defaultDS", Line: 4},
			{Key: "delegator-name", Value: "default", Line: 5},
			{Key: "database-type", Value: "postgres72", Line: 6},
			{Key: "schema-name", Value: "public", Line: 7},
			{Key: "jdbc-datasource/url", Value: "jdbc:postgresql://dbserver:5432/jiradb", Line: 9},
			{Key: "jdbc-datasource/driver-class", Value: "org.postgresql.Driver", Line: 10},
			{Key: "jdbc-datasource/username", Value: "jiradbuser", Line: 11},
			{Key: jiraClass, Value: awsClass, Line: 12},
			{Key: jiraPassword,
				Value: `{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`,
				Line:  13},
			{Key: "jdbc-datasource/pool-min-size", Value: "20", Line: 14},
			{Key: "jdbc-datasource/pool-max-size", Value: "100", Line: 15},
			{Key: "jdbc-datasource/pool-max-wait", Value: "30000", Line: 16},
			{Key: "jdbc-datasource/validation-query", Value: "select version();", Line: 17},
			{Key: "jdbc-datasource/min-evictable-idle-time-millis", Value: "60000", Line: 18},
			{Key: "jdbc-datasource/time-between-eviction-runs-millis", Value: "300000", Line: 19},
			{Key: "jdbc-datasource/pool-max-idle", Value: "20", Line: 20},
			{Key: "jdbc-datasource/pool-remove-abandoned", Value: "true", Line: 21},
			{Key: "jdbc-datasource/pool-remove-abandoned-timeout", Value: "300", Line: 22},
			{Key: "jdbc-datasource/pool-test-on-borrow", Value: "false", Line: 23},
			{Key: "jdbc-datasource/pool-test-while-idle", Value: "true", Line: 24},
			{Key: "jdbc-datasource/connection-properties", Value: "tcpKeepAlive=true", Line: 25},
		}},
		"testdata/confluence": {secretref.Confluence, "confluence.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "custom", Line: 5},
			{Key: "buildNumber", Value: "9012", Line: 6},
			{Key: "attachments.dir", Value: "${confluenceHome}/attachments", Line: 8},
			{Key: "confluence.cluster", Value: "true", Line: 9},
			{Key: "confluence.cluster.home", Value: "/var/atlassian/application-data/shared-home", Line: 10},
			{Key: "confluence.database.choice", Value: "postgresql", Line: 11},
			{Key: "confluence.webapp.context.path", Value: "", Line: 12},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 13},
			{Key: "hibernate.connection.password",
				Value: `{"mount": "secret", "path": "sample/secret", "key": "password", ` +
					`"endpoint": "https://vault.example.com:8200", "authenticationType": "KUBERNETES"}`, Line: 14},
			{Key: "hibernate.connection.url",
				Value: "jdbc:postgresql://dbserver:5432/confluence?ssl=true&sslmode=require", Line: 15},
			{Key: "hibernate.connection.username", Value: "confluenceuser", Line: 16},
			{Key: "hibernate.setup", Value: "true", Line: 17},
			{Key: "jdbc.password.decrypter.classname", Value: vaultClass, Line: 18},
			{Key: "lucene.index.dir", Value: "${localHome}/index", Line: 19},
		}},
		"testdata/bitbucket": {secretref.Bitbucket, "shared/bitbucket.properties", []setting{
			{Key: "server.port", Value: "7990", Line: 2},
			{Key: "server.secure", Value: "true", Line: 3},
			{Key: "encrypted-property.cipher.classname", Value: awsClass, Line: 4},
			{Key: "jdbc.driver", Value: "org.postgresql.Driver", Line: 5},
			{Key: "jdbc.url",
				Value: "jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master", Line: 6},
			{Key: "jdbc.user", Value: "bitbucket", Line: 7},
			{Key: "jdbc.password",
				Value: `{ENC}{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`,
				Line:  8},
			{Key: "hazelcast.group.password", Value: "plain-text-stays-plain", Line: 9},
			{Key: "plugin.search.config.username", Value: "bitbucket", Line: 10},
			{Key: "plugin.search.config.password",
				Value: `{ENC}{"region":"ap-southeast-2","secretId":"search"}`, Line: 11},
		}},
		"testdata/bamboo": {secretref.Bamboo, "bamboo.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "custom", Line: 5},
			{Key: "buildNumber", Value: "90413", Line: 6},
			{Key: "bamboo.artifacts.directory", Value: "${bambooHome}/artifacts", Line: 8},
			{Key: "bamboo.config.directory", Value: "${bambooHome}/xml-data/configuration", Line: 9},
			{Key: "bamboo.jms.broker.uri", Value: "nio://0.0.0.0:54663", Line: 10},
			{Key: "daily.backup.dir", Value: "${bambooHome}/backups", Line: 11},
			{Key: "hibernate.c3p0.max_size", Value: "100", Line: 12},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 13},
			{Key: "hibernate.connection.password", Value: "YmFtYm9vJ3Mgb3du", Line: 14},
			{Key: "hibernate.connection.url", Value: "jdbc:postgresql://dbserver:5432/bamboo", Line: 15},
			{Key: "hibernate.connection.username", Value: "bamboouser", Line: 16},
			{Key: "hibernate.dialect", Value: "com.atlassian.bamboo.hibernate.PostgreSQLDialect", Line: 17},
			{Key: "jdbc.password.decrypter.classname", Value: base64Class, Line: 18},
			{Key: "license.string", Value: "AAAB", Line: 19},
			{Key: "serverKey", Value: "287", Line: 20},
		}},
		"testdata/crowd": {secretref.Crowd, "shared/crowd.cfg.xml", []setting{
			{Key: "setupStep", Value: "complete", Line: 4},
			{Key: "setupType", Value: "install.new", Line: 5},
			{Key: "buildNumber", Value: "1900", Line: 6},
			{Key: "crowd.server.id", Value: "BXSW-7Z33-9PLP-6Q5T", Line: 8},
			{Key: "hibernate.c3p0.max_size", Value: "30", Line: 9},
			{Key: "hibernate.connection.driver_class", Value: "org.postgresql.Driver", Line: 10},
			{Key: "hibernate.connection.password",
				Value: `{"sealedObjectFilePath":"keys/db/javax.crypto.SealedObject_1629979543",` +
					`"keyFilePath":"keys/db/javax.crypto.spec.SecretKeySpec_1629979543"}`, Line: 11},
			{Key: "hibernate.connection.url",
				Value: "jdbc:postgresql://dbserver:5432/crowd?reWriteBatchedInserts=true", Line: 12},
			{Key: "hibernate.connection.username", Value: "crowduser", Line: 13},
			{Key: "hibernate.dialect", Value: "org.hibernate.dialect.PostgreSQLDialect", Line: 14},
			{Key: "jdbc.password.decrypter.classname", Value: crowdsCipher, Line: 15},
			{Key: "license", Value: "AAAB", Line: 16},
		}},
	} {
		file := filepath.Join(home, filepath.FromSlash(want.file))
		for _, path := range []string{home, home + "/", file} {
			c, err := secretref.ReadConfig(path)
			require.NoError(t, err)
			require.Equal(t, want.product, c.Product)
			require.Equal(t, file, c.Path)
			require.Equal(t, want.entries, settingsOf(c))
		}
	}
}

func TestConfigFile_Get(t *testing.T) {
	for name, row := range map[string]struct{ file, text, key, want string }{
		"the last in properties": {"bitbucket.properties", "a=1\njdbc.url=2\na = 3\n", "a", "3"},
		"the first in dbconfig": {
			"dbconfig.xml", jiraFile("url", "1", "url", "2"), "jdbc-datasource/url", "1",
		},
		"the last in Confluence": {"confluence.cfg.xml", confluenceFile("a", "1", "a", "2"), "a", "2"},
	} {
		got, ok := readConfig(t, row.file, row.text).Get(row.key)
		require.True(t, ok, name)
		require.Equal(t, row.want, got.Reveal(), name)
	}
	_, ok := readConfig(t, "bitbucket.properties", "a=1").Get("A")
	require.False(t, ok)
}

func TestReadConfig_refusedFiles(t *testing.T) {
	const xxe = `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>`
	laughs := `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "ha">`
	for i := range 30 {
		laughs += fmt.Sprintf(`<!ENTITY a%d "&a%d;&a%d;">`, i+1, i, i)
	}
	entity := func(prolog, name string) string {
		return prolog + "<jira-database-config><jdbc-datasource><password>&" + name +
			";</password></jdbc-datasource></jira-database-config>"
	}
	for name, row := range map[string]struct {
		file, text string
		kind       error
		says       []string
	}{
		"external entity": {
			"dbconfig.xml", entity(xxe, "x"), secretref.ErrUnsupported, []string{"line 1", "DOCTYPE"},
		},
		"external entity, not used": {"dbconfig.xml", entity(xxe, "amp"), secretref.ErrUnsupported, nil},
		"billion laughs": {
			"dbconfig.xml", entity(laughs+"]>", "a30"), secretref.ErrUnsupported, nil,
		},
		"external DTD": {
			"dbconfig.xml", entity(`<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">`, "amp"),
			secretref.ErrUnsupported, nil,
		},
		"public DTD": {
			"dbconfig.xml", entity(`<!DOCTYPE r PUBLIC "x" "http://127.0.0.1:1/x.dtd">`, "amp"),
			secretref.ErrUnsupported, nil,
		},
		"too large": {
			"bitbucket.properties", "jdbc.url=" + strings.Repeat("x", 5<<20), secretref.ErrUnsupported,
			[]string{"4 MiB"},
		},
		"Bamboo's or Crowd's": {
			"db.xml", "<application-configuration/>", secretref.ErrUnsupported,
			[]string{"bamboo.cfg.xml or crowd.cfg.xml"},
		},
		"other XML": {
			"server.xml", "<Server/>", secretref.ErrUnsupported, []string{"root element"},
		},
		"other properties": {
			"log4j.properties", "log4j.rootLogger=WARN", secretref.ErrUnsupported,
			[]string{"bitbucket.properties"},
		},
		"empty, of no known name": {"x", "", secretref.ErrUnsupported, nil},
		"empty XML":               {"dbconfig.xml", "", secretref.ErrSyntax, []string{"root element"}},
		"not XML": {
			"dbconfig.xml", "jdbc.url=" + canary, secretref.ErrSyntax, []string{"line 1"},
		},
		"a bare ampersand": {
			"dbconfig.xml", "\n" + jiraFile("a", "b") + "&" + canary, secretref.ErrSyntax,
			[]string{"line 7"},
		},
		"a malformed escape": {
			"bitbucket.properties", "a=b\nc=" + canary + `\u12g4`, secretref.ErrSyntax, []string{"line 2"},
		},
		"two data sources": {"dbconfig.xml", strings.Replace(jiraFile("url", "a"), "</jdbc-datasource>",
			"</jdbc-datasource>\n<jdbc-datasource><password>"+canary+
				"</password></jdbc-datasource>", 1), secretref.ErrSyntax, []string{"line 2", "line 5"}},
		"Jira's JNDI": {
			"dbconfig.xml",
			"<jira-database-config><jndi-datasource><jndi-name>java:x</jndi-name></jndi-datasource>" +
				"</jira-database-config>",
			secretref.ErrUnsupported, []string{"jndi-datasource", "application server"}},
		"Confluence's JNDI": {"confluence.cfg.xml", confluenceFile("hibernate.connection.datasource",
			"java:x"),
			secretref.ErrUnsupported, []string{"hibernate.connection.datasource", "application server"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, row.file, row.text)
			for _, from := range []string{path, filepath.Dir(path)} {
				c, err := secretref.ReadConfig(from)
				require.Nil(t, c)
				if from != path && errors.Is(err, secretref.ErrNotFound) {
					continue // the name is not searched for
				}
				require.ErrorIs(t, err, row.kind)
				for _, part := range append(row.says, path) {
					require.ErrorContains(t, err, part)
				}
				require.NotContains(t, err.Error(), canary)
				requireSilent(t, err)
			}
		})
	}
}

func TestReadConfig_refusedPaths(t *testing.T) {
	both := filepath.Dir(writeFile(t, "dbconfig.xml", jiraFile()))
	require.NoError(t, os.WriteFile(filepath.Join(both, "confluence.cfg.xml"), nil, 0o600))
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "dbconfig.xml"), 0o700))
	empty := t.TempDir()
	for name, row := range map[string]struct {
		path    string
		kind    error
		absent  bool
		mention []string
	}{
		"two products' files": {
			both, secretref.ErrUnsupported, false, []string{
				filepath.Join(both, "dbconfig.xml"), filepath.Join(both, "confluence.cfg.xml"),
			},
		},
		"a directory without a file": {
			empty, secretref.ErrNotFound, true, []string{
				empty, "dbconfig.xml", "confluence.cfg.xml", "bitbucket.properties",
			},
		},
		"a directory of the name": {
			directory, secretref.ErrUnsupported, false,
			[]string{filepath.Join(directory, "dbconfig.xml"), "directory"},
		},
		"the same, named": {
			filepath.Join(directory, "dbconfig.xml"), secretref.ErrNotFound, true, nil,
		},
		"a missing file": {
			filepath.Join(empty, "dbconfig.xml"), secretref.ErrNotFound, true,
			[]string{filepath.Join(empty, "dbconfig.xml")},
		},
		"no path": {"", secretref.ErrNotFound, true, nil},
	} {
		c, err := secretref.ReadConfig(row.path)
		require.Nil(t, c)
		require.ErrorIs(t, err, row.kind, name)
		require.Equal(t, row.absent, errors.Is(err, fs.ErrNotExist), name)
		for _, part := range row.mention {
			require.ErrorContains(t, err, part, name)
		}
	}
}

func TestReadConfig_denied(t *testing.T) {
	path := writeFile(t, "dbconfig.xml", jiraFile())
	require.NoError(t, os.Chmod(path, 0))
	if f, err := os.Open(path); err == nil {
		f.Close()
		t.Skip("this user may read every file")
	}
	_, err := secretref.ReadConfig(path)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorIs(t, err, fs.ErrPermission)
}

func TestReadConfig_emptyPath(t *testing.T) {
	for _, path := range []string{"", " ", "\t"} {
		_, err := secretref.ReadConfig(path)
		require.ErrorIs(t, err, secretref.ErrNotFound)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "is a variable not set?")
	}
}

func TestReadConfig_printableErrors(t *testing.T) {
	const odd = "a\x1b[31m\u202e\u009b\nb"
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	printable := func(err error) {
		t.Helper()
		require.Error(t, err)
		require.NotRegexp(t, "[\x1b\u202e\u009b]|b\n|\nb", err.Error())
		var located *secretref.Error
		require.ErrorAs(t, err, &located)
		require.NotRegexp(t, "[\x1b\u202e\u009b\n]", located.Source+located.Reference)
		require.NotEmpty(t, located.Source)
	}
	_, err := secretref.ReadConfig(filepath.Join(t.TempDir(), odd))
	printable(err)
	_, err = secretref.ReadConfig(writeFile(t, odd+".properties", "jdbc.user=\\u0"))
	printable(err)
	for _, value := range []string{
		`{"region":"eu-west-1","secretId":"` + "\u202e" + `missing"}`, `{"region":1}`,
	} {
		c := readConfig(t, odd+".properties", `jdbc.a\u001b[31m\u202e\u009b\nb={ENC}`+value)
		_, err = r.ResolveConfig(t.Context(), c)
		printable(err)
	}
}
