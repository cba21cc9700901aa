package secretref_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed74218947/secretref"
)

// A service resolves the references in its configuration when it starts. Here a Fake
// replaces AWS, so that the example runs anywhere; in production, the Options are nil
// or do not set Fake.
func Example() {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"username":"app","password":"invented"}`)

	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()
	value := `{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	password, err := resolver.Resolve(context.Background(), value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("printed:", password)
	fmt.Println("revealed:", password.Reveal())
	// Output:
	// printed: [redacted]
	// revealed: invented
}

// These are the lines of the README. They are compiled but not run, because they would
// connect to real backends.
func ExampleResolver_Resolve() {
	ctx := context.Background()

	resolver := secretref.New(nil) // AWS and Vault as the environment says; no I/O yet
	defer resolver.Close()

	password, err := resolver.Resolve(ctx, os.Getenv("DB_PASSWORD")) // a reference, or plaintext
	if err != nil {
		log.Fatal(err) // says where, why and how to fix it; never the secret
	}
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword("app", password.Reveal()), Host: "db:5432", Path: "/app"}
	db, err := sql.Open("pgx", dsn.String())

	fmt.Println(db.Stats().MaxOpenConnections, err)
}

func ExampleParse() {
	ref, err := secretref.Parse(`<ENC><"region":"eu-west-1","secretId":"db">`)
	fmt.Println(ref, err)

	_, err = secretref.Parse(`{"region":"eu-west-1","secretID":"db"}`)
	fmt.Println(err)

	_, err = secretref.Parse("hunter2")
	fmt.Println(errors.Is(err, secretref.ErrNotReference))
	// Output:
	// {ENC}{"region":"eu-west-1","secretId":"db"} <nil>
	// secretref: syntax error: unknown field "secretID" (did you mean "secretId"?)
	// true
}

func ExampleResolver_ResolveStruct() {
	fake := secretref.NewFake()
	fake.Set(`{"mount":"secret","path":"app","key":"password","endpoint":"https://vault.example.com"}`,
		"invented")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	var config struct {
		User     string
		Password secretref.Secret
	}
	file := `{"User":"app","Password":"{ENC}{\"mount\":\"secret\",\"path\":\"app\",` +
		`\"key\":\"password\",\"endpoint\":\"https://vault.example.com\"}"}`
	if err := json.Unmarshal([]byte(file), &config); err != nil {
		log.Fatal(err)
	}
	if err := resolver.ResolveStruct(context.Background(), &config); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", config)
	fmt.Println(config.Password.Reveal())
	// Output:
	// {User:app Password:[redacted]}
	// invented
}

// ResolveStruct finds Secrets at any depth. Several references into one secret cause one
// fetch.
func ExampleResolver_ResolveStruct_nested() {
	type Database struct {
		Host     string
		Password secretref.Secret
	}
	type Config struct {
		Database Database                    // a struct
		Replicas []Database                  // a slice
		Mail     *Database                   // a pointer; nil if it is absent
		Tokens   map[string]secretref.Secret // a map
		License  string                      `secretref:"resolve"` // for a library that needs a string
	}
	file := `{
	  "Database": {"Host": "db",  "Password": "{ENC}{\"region\":\"eu-west-1\",\"secretId\":\"app\",\"secretPointer\":\"/db\"}"},
	  "Replicas": [{"Host": "db2", "Password": "{ENC}{\"region\":\"eu-west-1\",\"secretId\":\"app\",\"secretPointer\":\"/db\"}"},
	               {"Host": "db3", "Password": "in plain"}],
	  "Tokens":   {"search": "{ENC}{\"region\":\"eu-west-1\",\"secretId\":\"app\",\"secretPointer\":\"/tokens/search\"}"},
	  "License":  "{ENC}{\"region\":\"eu-west-1\",\"secretId\":\"app\",\"secretPointer\":\"/license\"}"
	}`
	var config Config
	if err := json.Unmarshal([]byte(file), &config); err != nil {
		log.Fatal(err)
	}

	fake := secretref.NewFake() // instead of AWS
	fake.Set(`{"region":"eu-west-1","secretId":"app"}`,
		`{"db":"invented","tokens":{"search":"made up"},"license":"L-1"}`)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()
	if err := resolver.ResolveStruct(context.Background(), &config); err != nil {
		log.Fatal(err)
	}

	search := config.Tokens["search"]
	fmt.Println(config.Database.Password.Reveal(), config.Replicas[0].Password.Reveal(),
		config.Replicas[1].Password.Reveal())
	fmt.Println(search.Reveal(), config.License)
	fmt.Println("printed:", config.Replicas, config.Tokens)
	fmt.Println("fetches:", fake.Calls())
	// Output:
	// invented invented in plain
	// made up L-1
	// printed: [{db2 [redacted]} {db3 [redacted]}] map[search:[redacted]]
	// fetches: 1
}

// Either all fields are resolved or none is changed. The error has a line for each field
// that failed. Resolved fields are not resolved again.
func ExampleResolver_ResolveStruct_allOrNothing() {
	fake := secretref.NewFake()
	fake.Set(`{"keyring":"db"}`, "invented")
	fake.Fail(`{"keyring":"mail"}`, secretref.ErrDenied)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	var config struct {
		Database string `secretref:"resolve"`
		Mail     struct{ Password secretref.Secret }
		Tokens   []secretref.Secret
	}
	file := `{"Database":"{\"keyring\":\"db\"}","Mail":{"Password":"{\"keyring\":\"mail\"}"},` +
		`"Tokens":["{\"keyring\":\"db\"}","{\"keyring\":\"token\"}"]}`
	if err := json.Unmarshal([]byte(file), &config); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(resolver.ResolveStruct(ctx, &config))
	fmt.Println("unchanged:", config.Database)

	fake.Set(`{"keyring":"mail"}`, "made up")
	fake.Set(`{"keyring":"token"}`, "also made up")
	fmt.Println(resolver.ResolveStruct(ctx, &config), config.Database, config.Mail.Password.Reveal())
	fmt.Println(resolver.ResolveStruct(ctx, &config), config.Database, config.Mail.Password.Reveal())
	// Output:
	// secretref: Mail.Password: {ENC}{"keyring":"mail"}: access denied
	// secretref: Tokens[1]: {ENC}{"keyring":"token"}: not found: the Fake has no such secret
	// unchanged: {"keyring":"db"}
	// <nil> invented made up
	// <nil> invented made up
}

func ExampleResolver_ResolveAll() {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"username":"app","password":"invented"}`)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	secrets, err := resolver.ResolveAll(context.Background(),
		`{"region":"eu-west-1","secretId":"db","secretPointer":"/username"}`,
		`{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}`,
		"plaintext stays as it is",
	)
	fmt.Println(err)
	fmt.Println(secrets[0].Reveal(), secrets[1].IsZero(), secrets[2].Reveal())
	fmt.Println("fetches:", fake.Calls())
	// Output:
	// secretref: value 2: {ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/passwort"}: pointer does not lead to a value: secretPointer: no member "passwort" in the object at the top level
	// app true plaintext stays as it is
	// fetches: 1
}

func ExampleResolver_Expand() {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, "p@ss/word")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	dsn, err := resolver.Expand(context.Background(),
		`postgres://app:{ENC}{"region":"eu-west-1","secretId":"db"}@localhost/app`, url.QueryEscape)
	fmt.Println(dsn.Reveal(), err)
	// Output:
	// postgres://app:p%40ss%2Fword@localhost/app <nil>
}

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

// A Provider is selected by its Fields in a value, and by its ClassName in a product's
// configuration file.
func ExampleProvider() {
	resolver := secretref.New(&secretref.Options{Providers: []secretref.Provider{{
		ClassName: "com.example.FileStore",
		Fields:    []string{"secretFile"},
		Fetch: func(_ context.Context, coordinates []byte) ([]byte, error) {
			var c struct{ SecretFile string }
			if err := json.Unmarshal(coordinates, &c); err != nil {
				return nil, err
			}
			return []byte("the content of " + c.SecretFile), nil
		},
	}}})
	defer resolver.Close()
	secret, err := resolver.Resolve(context.Background(), `{ENC}{"secretFile":"/run/secrets/db"}`)
	fmt.Println(secret.Reveal(), err)
	// Output:
	// the content of /run/secrets/db <nil>
}

func ExampleOptions_allowEndpoint() {
	resolver := secretref.New(&secretref.Options{
		AllowEndpoint: func(endpoint *url.URL) error {
			if endpoint.Hostname() != "vault.example.com" {
				return errors.New("not our Vault")
			}
			return nil
		},
		Vault: secretref.VaultOptions{
			Token: func(context.Context) (string, error) { return "invented", nil },
		},
	})
	defer resolver.Close()
	_, err := resolver.Resolve(context.Background(),
		`{"mount":"secret","path":"a","key":"b","endpoint":"https://evil.example.org"}`)
	fmt.Println(errors.Is(err, secretref.ErrDenied))
	// Output:
	// true
}

// A keyring stores secrets in a file, without a cloud service. References name them.
func ExampleOpenKeyring() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(filepath.Join(dir, "secrets.db")), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	if err := keys.Put(ctx, "jdbc-password", secretref.NewSecret("invented")); err != nil {
		log.Fatal(err)
	}

	resolver := secretref.New(&secretref.Options{Keyring: keys})
	defer resolver.Close()
	password, err := resolver.Resolve(ctx, `{ENC}{"keyring":"jdbc-password"}`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(password.Reveal())
	// Output: invented
}

// A rotation encrypts every secret with a new key. The old key becomes inactive and can
// be deleted.
func ExampleKeyring_Rotate() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := secretref.WithActor(context.Background(), "alice")

	keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(filepath.Join(dir, "secrets.db")), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	if err := keys.Put(ctx, "jdbc-password", secretref.NewSecret("invented")); err != nil {
		log.Fatal(err)
	}
	rotation, err := keys.Rotate(ctx)
	if err != nil {
		log.Fatal(err)
	}
	deleted, err := keys.DeleteInactive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("moved:", rotation.Moved)
	fmt.Println("deleted the old key:", deleted[0].ID == rotation.From)
	for event, err := range keys.AuditLog(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Actor, event.Action, event.Outcome)
	}
	// Output:
	// moved: 1
	// deleted the old key: true
	// alice create done
	// alice rotate started
	// alice rotate done
	// alice delete-inactive done
}

// The handler serves the key management API to clients that send the token.
func ExampleKeyring_Handler() {
	var keys *secretref.Keyring // from OpenKeyring
	token := os.Getenv("KEYS_TOKEN")
	mux := http.NewServeMux()
	mux.Handle("/rest/secrets/", keys.Handler(func(r *http.Request) (string, error) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" || !secretref.NewSecret(given).Equal(secretref.NewSecret(token)) {
			return "", errors.New("wrong token")
		}
		return "operations", nil
	}))
	log.Fatal(http.ListenAndServeTLS("keys.example.com:8443", "cert.pem", "key.pem", mux))
}

// Watch follows a password that is rotated while the program runs.
func ExampleResolver_Watch() {
	const reference = `{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	fake := secretref.NewFake() // instead of AWS
	fake.Set(reference, "hunter2")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	ctx := context.Background()
	password, err := resolver.Watch(ctx, reference)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(password.Value().Reveal())

	fake.Set(reference, "hunter3")
	if _, err := password.Refresh(ctx); err != nil { // otherwise it is refreshed in the background
		log.Fatal(err)
	}
	fmt.Println(password.Value().Reveal())
	// Output:
	// hunter2
	// hunter3
}

// The *sql.DB connects with the current user name and password. They are parts of one
// secret and always of the same version of it.
func ExampleConnector() {
	const user, password = `{"region":"eu-west-1","secretId":"db","secretPointer":"/username"}`,
		`{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	fake := secretref.NewFake() // instead of AWS
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"username":"app","password":"hunter2"}`)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	login, err := resolver.WatchAll(context.Background(), user, password)
	if err != nil {
		log.Fatal(err)
	}
	connect := func(ctx context.Context, s []secretref.Secret) (driver.Conn, error) {
		// With pgx, copy its configuration, set the user and password in the copy, and
		// return stdlib.GetConnector(config).Connect(ctx).
		return nil, fmt.Errorf("no database here for %s", s[0].Reveal())
	}
	db := sql.OpenDB(secretref.Connector(login, connect, nil))
	defer db.Close()
	fmt.Println(db.PingContext(context.Background()))
	// Output:
	// no database here for app
}
