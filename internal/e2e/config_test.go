package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

const region = "ap-southeast-2"

const jiraFile = `<?xml version="1.0" encoding="UTF-8"?>

<jira-database-config>
  <name>defaultDS</name>
  <delegator-name>default</delegator-name>
  <database-type>postgres72</database-type>
  <schema-name>public</schema-name>
  <jdbc-datasource>
    <url>jdbc:postgresql://dbserver:5432/jiradb</url>
    <driver-class>org.postgresql.Driver</driver-class>
    <username>jiradbuser</username>
    <password>{"region":"ap-southeast-2","secretId":"products/jira", "secretPointer": "/db/password"}</password>
    <atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>
    <pool-min-size>20</pool-min-size>
  </jdbc-datasource>
</jira-database-config>
`

const confluenceFile = `<?xml version="1.0" encoding="UTF-8"?>

<confluence-configuration>
  <setupStep>complete</setupStep>
  <buildNumber>9012</buildNumber>
  <properties>
    <property name="confluence.webapp.context.path"></property>
    <property name="hibernate.connection.driver_class">org.postgresql.Driver</property>
    <property name="hibernate.connection.password">{&quot;mount&quot;: "secret", "path": "products/confluence", "key": "password", "endpoint": "$vault"}</property>
    <property name="hibernate.connection.url">jdbc:postgresql://dbserver:5432/confluence?ssl=true&amp;sslmode=require</property>
    <property name="hibernate.connection.username">confluenceuser</property>
    <property name="jdbc.password.decrypter.classname">com.atlassian.secrets.store.vault.VaultSecretStore</property>
  </properties>
</confluence-configuration>
`

const bitbucketFile = `# Managed by ops
server.port=7990
jdbc.driver=org.postgresql.Driver
jdbc.url=jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master
jdbc.user=bitbucket
jdbc.password={ENC}{"mount":"secret","path":"products/bitbucket",\
    "key":"password","endpoint":"$vault"}
hazelcast.group.password=plain-text-stays-plain
plugin.search.config.password={ENC}{"region":"ap-southeast-2","secretId":"search"}
`

const awsKey = "the-secret-access-key"

// startAWS starts a fake Secrets Manager and sets the environment of the test to its endpoint and
// key.
func startAWS(t *testing.T) *fakeaws.Server {
	t.Helper()
	aws := fakeaws.New()
	t.Cleanup(aws.Close)
	aws.AddKey("AKIDEXAMPLE", awsKey, "")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.URL(),
		"AWS_EC2_METADATA_DISABLED":        "true",
		"AWS_ACCESS_KEY_ID":                "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":            awsKey,
		"AWS_SESSION_TOKEN":                "",
		"AWS_PROFILE":                      "",
		"AWS_CONFIG_FILE":                  filepath.Join(t.TempDir(), "none"),
		"AWS_SHARED_CREDENTIALS_FILE":      filepath.Join(t.TempDir(), "none"),
	} {
		t.Setenv(name, value)
	}
	return aws
}

// TestResolveConfig_products resolves the files in the products' home directories with a real Vault
// and the protocol of Secrets Manager.
func TestResolveConfig_products(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		aws := startAWS(t)
		aws.PutSecret(region, "products/jira", `{"db":{"password":"jira's","user":"`+canary+`"}}`)
		aws.PutSecret(region, "search", "of the search")
		s.put(t, "products/confluence", `{"password":"confluence's","other":"`+canary+`"}`)
		s.put(t, "products/bitbucket", `{"password":"bitbucket's"}`)
		token := s.mint(t, "products", `path "secret/data/products/*" { capabilities = ["read"] }`)
		r := withToken(t, token)

		for _, c := range []struct {
			product    secretref.Product
			file, text string
			database   secretref.Database
			secrets    map[string]string
		}{
			{
				secretref.Jira, "dbconfig.xml", jiraFile,
				secretref.Database{
					Driver:   "org.postgresql.Driver",
					URL:      secretref.NewSecret("jdbc:postgresql://dbserver:5432/jiradb"),
					Username: "jiradbuser", Schema: "public",
				},
				map[string]string{"jdbc-datasource/password": "jira's"},
			},
			{
				secretref.Confluence, "confluence.cfg.xml", confluenceFile,
				secretref.Database{
					Driver:   "org.postgresql.Driver",
					URL:      secretref.NewSecret("jdbc:postgresql://dbserver:5432/confluence?ssl=true&sslmode=require"),
					Username: "confluenceuser",
				},
				map[string]string{"hibernate.connection.password": "confluence's"},
			},
			{
				secretref.Bitbucket, "shared/bitbucket.properties", bitbucketFile,
				secretref.Database{
					Driver:   "org.postgresql.Driver",
					URL:      secretref.NewSecret("jdbc:postgresql://primary:5432/bitbucket?ssl=require&targetServerType=master"),
					Username: "bitbucket",
				},
				map[string]string{"jdbc.password": "bitbucket's",
					"plugin.search.config.password": "of the search"},
			},
		} {
			home := t.TempDir()
			file := filepath.Join(home, c.file)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			require.NoError(t,
				os.WriteFile(file, []byte(strings.ReplaceAll(c.text, "$vault", s.URL)), 0o600))

			config, err := secretref.ReadConfig(home)
			require.NoError(t, err)
			require.Equal(t, c.product, config.Product)
			require.Equal(t, file, config.Path)
			settings, err := r.ResolveConfig(t.Context(), config)
			require.NoError(t, err)
			for key, want := range c.secrets {
				require.Equal(t, want, settings.Secrets[key].Reveal(), key)
				delete(settings.Secrets, key)
				if settings.Database.Password.Reveal() == want {
					settings.Database.Password = secretref.Secret{}
				}
			}
			require.Empty(t, settings.Secrets)
			require.True(t, settings.Database.Password.IsZero(), "the password is none of the secrets")
			require.Equal(t, c.database.URL.Reveal(), settings.Database.URL.Reveal())
			require.Equal(t, c.database.Driver, settings.Database.Driver)
			require.Equal(t, c.database.Username, settings.Database.Username)
			require.Equal(t, c.database.Schema, settings.Database.Schema)
		}
	})
}

// TestResolveConfig_errors has a mistake in the policy in Vault and one in the name of the AWS
// secret.
func TestResolveConfig_errors(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		startAWS(t)
		s.put(t, "products/bitbucket", `{"password":"`+canary+`"}`)
		token := s.mint(t, "products", `path "secret/data/products" { capabilities = ["read"] }`)

		file := filepath.Join(t.TempDir(), "bitbucket.properties")
		require.NoError(t,
			os.WriteFile(file, []byte(strings.ReplaceAll(bitbucketFile, "$vault", s.URL)), 0o600))
		config, err := secretref.ReadConfig(file)
		require.NoError(t, err)
		_, err = withToken(t, token).ResolveConfig(t.Context(), config)
		s.refused(t, err, secretref.ErrDenied, `bitbucket.properties:6: jdbc.password`, token)
		s.refused(t, err, secretref.ErrDenied,
			`path "secret/data/products/bitbucket" { capabilities = ["read"] }`, token)
		s.refused(t, err, secretref.ErrNotFound,
			`bitbucket.properties:9: plugin.search.config.password`, token)
		s.refused(t, err, secretref.ErrNotFound, `search`, awsKey)
	})
}
