package secretref_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
)

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

// RotateIfOlder is called on a schedule, for example once a day on every node.
func ExampleKeyring_RotateIfOlder() {
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
	_, rotated, err := keys.RotateIfOlder(ctx, 90*24*time.Hour)
	fmt.Println(rotated, err)
	// Output:
	// false <nil>
}

// Several nodes share a keyring in a database. The root key comes from Vault.
func ExampleSQLStore() {
	ctx := context.Background()
	resolver := secretref.New(nil)
	defer resolver.Close()
	rootKey, err := resolver.Resolve(ctx, os.Getenv("ROOT_KEY")) // a reference
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("pgx", os.Getenv("KEYS_DATABASE")) // the caller imports the driver
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	store := secretref.SQLStore(db, secretref.PostgreSQL)
	keys, err := secretref.OpenKeyring(ctx, store, &secretref.KeyringOptions{RootKey: rootKey})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	for name, err := range keys.Names(ctx) {
		fmt.Println(name, err)
	}
}
