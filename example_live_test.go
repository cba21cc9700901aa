package secretref_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"

	"github.com/seed74218947/secretref"
)

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

func ExampleTry() {
	const reference = `{"keyring":"broker-password"}`
	fake := secretref.NewFake() // instead of a keyring
	fake.Set(reference, "old")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	password, err := resolver.Watch(context.Background(), reference)
	if err != nil {
		log.Fatal(err)
	}
	defer password.Close()
	fake.Set(reference, "new") // a rotation

	errRefused := errors.New("530 login incorrect")
	login := func(_ context.Context, password secretref.Secret) (string, error) {
		if password.Reveal() != "new" {
			return "", errRefused
		}
		return "a session", nil
	}
	session, err := secretref.Try(context.Background(), password, login,
		func(err error) bool { return errors.Is(err, errRefused) })
	fmt.Println(session, err)
	// Output:
	// a session <nil>
}

// Updates is a loop over the current value and its changes.
func ExampleLive_Updates() {
	const reference = `{"keyring":"api-token"}`
	fake := secretref.NewFake() // instead of a keyring
	fake.Set(reference, "one")
	resolver := secretref.New(&secretref.Options{Fake: fake})
	defer resolver.Close()

	ctx := context.Background()
	token, err := resolver.Watch(ctx, reference)
	if err != nil {
		log.Fatal(err)
	}
	for value, err := range token.Updates(ctx) {
		fmt.Println(value.Reveal(), err)
		if value.Reveal() == "two" {
			break
		}
		fake.Set(reference, "two")
		if _, err := token.Refresh(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// one <nil>
	// two <nil>
}
