package secretref_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"

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
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword("app", password.Reveal()),
		Host: "db:5432", Path: "/app"}
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

// A Secret is redacted wherever it is printed; Reveal returns its text.
func ExampleSecret() {
	password := secretref.NewSecret("invented")
	fmt.Printf("%v %+v %q\n", password, struct{ Password secretref.Secret }{password}, password)
	fmt.Println(password.Reveal())
	fmt.Println(password.Equal(secretref.NewSecret("invented")))
	// Output:
	// [redacted] {Password:[redacted]} [redacted]
	// invented
	// true
}

// A Fake can fail like a real backend.
func ExampleFake_Fail() {
	fake := secretref.NewFake()
	fake.Fail(`{"keyring":"db"}`, secretref.ErrUnavailable)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	_, err := resolver.Resolve(context.Background(), `{"keyring":"db"}`)
	fmt.Println(errors.Is(err, secretref.ErrUnavailable))
	// Output:
	// true
}

// A reference can also be built from its parts.
func ExampleResolver_ResolveReference() {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"invented"}`)
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	password, err := resolver.ResolveReference(context.Background(), secretref.AWSReference{
		Region: "eu-west-1", SecretID: "db", SecretPointer: "/password",
	})
	fmt.Println(password.Reveal(), err)
	// Output:
	// invented <nil>
}

// WithMessage adds a text that is safe to show to an error of a Provider.
func ExampleWithMessage() {
	resolver := secretref.New(&secretref.Options{Providers: []secretref.Provider{{
		Fields: []string{"ticket"},
		Fetch: func(context.Context, []byte) ([]byte, error) {
			err := errors.New("403: token s3cret lacks a role") // not shown
			return nil, secretref.WithMessage(errors.Join(secretref.ErrDenied, err), "needs the role reader")
		},
	}}})
	defer resolver.Close()

	_, err := resolver.Resolve(context.Background(), `{"ticket":"1"}`)
	fmt.Println(err)
	// Output:
	// secretref: access denied: needs the role reader (Provider for "ticket")
}
