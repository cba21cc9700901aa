package secretref_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed74218947/secretref"
)

func ExampleReadConfig() {
	home, err := os.MkdirTemp("", "jira-home")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)
	file := `<jira-database-config>
  <jdbc-datasource>
    <url>jdbc:postgresql://dbserver:5432/jiradb</url>
    <username>jiradbuser</username>
    <password>{"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password"}</password>
    <atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>
  </jdbc-datasource>
</jira-database-config>`
	if err := os.WriteFile(filepath.Join(home, "dbconfig.xml"), []byte(file), 0o600); err != nil {
		log.Fatal(err)
	}

	fake := secretref.NewFake()
	fake.Set(`{"region":"ap-southeast-2","secretId":"mySecretId"}`, `{"password":"invented"}`)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	config, err := secretref.ReadConfig(home)
	if err != nil {
		log.Fatal(err)
	}
	settings, err := resolver.ResolveConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	db := settings.Database
	fmt.Println(settings.Product, db.MaskedURL(), db.Username, db.Password, db.Password.Reveal())
	// Output:
	// jira jdbc:postgresql://dbserver:5432/jiradb jiradbuser [redacted] invented
}

// The official Helm chart of Bitbucket sets the database in the environment only.
func ExampleConfigFile_WithEnvironment() {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"db"}`, "invented")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	file := &secretref.ConfigFile{Product: secretref.Bitbucket}
	settings, err := resolver.ResolveConfig(context.Background(), file.WithEnvironment([]string{
		"JDBC_URL=jdbc:postgresql://dbserver:5432/bitbucket",
		"JDBC_USER=bitbucket",
		`JDBC_PASSWORD={"keyring":"db"}`,
	}))
	fmt.Println(settings.Database.MaskedURL(), settings.Database.Password.Reveal(), err)
	// Output:
	// jdbc:postgresql://dbserver:5432/bitbucket invented <nil>
}

// DataSource translates the JDBC URL for a Go driver.
func ExampleDatabase_DataSource() {
	source, err := secretref.Database{
		Driver:   "org.postgresql.Driver",
		URL:      secretref.NewSecret("jdbc:postgresql://dbserver/jira?reWriteBatchedInserts=true"),
		Username: "jira",
		Password: secretref.NewSecret("invented"),
	}.DataSource()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Driver, source.Name, source.Ignored)
	// With the driver imported: sql.Open(source.Driver, source.Name.Reveal())
	// Output:
	// pgx [redacted] [reWriteBatchedInserts]
}

// Get returns values as they are in the file, not resolved.
func ExampleConfigFile_Get() {
	file := &secretref.ConfigFile{Product: secretref.Bitbucket, Entries: []secretref.Entry{
		{Key: "jdbc.user", Value: secretref.NewSecret("old"), Line: 1},
		{Key: "jdbc.user", Value: secretref.NewSecret("bitbucket"), Line: 2},
	}}
	user, ok := file.Get("jdbc.user")
	fmt.Println(user.Reveal(), ok)
	// Output:
	// bitbucket true
}
