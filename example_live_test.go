package secretref_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/seed74218947/secretref"
)

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
