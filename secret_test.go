package secretref_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestSecretIsNotStoredInADatabase(t *testing.T) {
	secret := secretref.NewSecret(canary)
	var _ driver.Valuer = secret
	_, err := secret.Value()
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.ErrorContains(t, err, "Reveal")
	_, err = driver.DefaultParameterConverter.ConvertValue(secret)
	require.Error(t, err)
	_, err = driver.DefaultParameterConverter.ConvertValue(&secret)
	require.Error(t, err)

	db := sql.OpenDB(nullConnector{})
	defer db.Close()
	for _, arg := range []any{secret, &secret, secretref.Secret{}, sql.NamedArg{Name: "p", Value: secret}} {
		_, err = db.ExecContext(t.Context(), "INSERT", arg)
		require.ErrorContains(t, err, "Reveal")
		require.NotContains(t, err.Error(), canary)
	}
	_, err = db.ExecContext(t.Context(), "INSERT", (*secretref.Secret)(nil))
	require.NoError(t, err, "a nil *Secret is NULL")
}

// nullConnector is a database that takes every statement.
type nullConnector struct{}

func (nullConnector) Connect(context.Context) (driver.Conn, error) { return nullConn{}, nil }
func (nullConnector) Driver() driver.Driver                        { return nil }

type nullConn struct{}

func (nullConn) Prepare(string) (driver.Stmt, error) { return nullStmt{}, nil }
func (nullConn) Close() error                        { return nil }
func (nullConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

type nullStmt struct{}

func (nullStmt) Close() error                               { return nil }
func (nullStmt) NumInput() int                              { return -1 }
func (nullStmt) Exec([]driver.Value) (driver.Result, error) { return driver.ResultNoRows, nil }
func (nullStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func TestSecretStates(t *testing.T) {
	require.True(t, secretref.Secret{}.Equal(secretref.NewSecret("")))
	require.True(t, secretref.NewSecret("").IsZero())
	require.False(t, secretref.NewSecret("").Equal(unresolved(t, "")))
	require.Panics(t, func() { _ = unresolved(t, "").Reveal() }, "empty, and never resolved")
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	s, err := r.Resolve(t.Context(), "plain")
	require.NoError(t, err)
	require.True(t, s.Equal(secretref.NewSecret("plain")), "made in two ways")
}

func TestZeroValuesPanicInTheCallersGoroutine(t *testing.T) {
	ctx := t.Context()
	var r secretref.Resolver
	var none *secretref.Resolver
	for name, use := range map[string]func(*secretref.Resolver){
		"Parse":               func(r *secretref.Resolver) { _, _ = r.Parse("plain") },
		"Resolve plaintext":   func(r *secretref.Resolver) { _, _ = r.Resolve(ctx, "plain") },
		"Resolve a reference": func(r *secretref.Resolver) { _, _ = r.Resolve(ctx, awsRef) },
		"ResolveReference":    func(r *secretref.Resolver) { _, _ = r.ResolveReference(ctx, secretref.KeyringReference{Name: "a"}) },
		"ResolveAll":          func(r *secretref.Resolver) { _, _ = r.ResolveAll(ctx) },
		"ResolveStruct":       func(r *secretref.Resolver) { _ = r.ResolveStruct(ctx, &struct{}{}) },
		"ResolveConfig": func(r *secretref.Resolver) {
			_, _ = r.ResolveConfig(ctx, &secretref.ConfigFile{Product: secretref.Jira})
		},
		"Expand":       func(r *secretref.Resolver) { _, _ = r.Expand(ctx, "plain", nil) },
		"Handle":       func(r *secretref.Resolver) { _, _ = r.Watch(ctx, "plain") },
		"HandleAll":    func(r *secretref.Resolver) { _, _ = r.WatchAll(ctx) },
		"HandleConfig": func(r *secretref.Resolver) { _, _ = r.WatchConfig(ctx, &secretref.ConfigFile{Product: secretref.Jira}) },
		"Close":        func(r *secretref.Resolver) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			require.PanicsWithValue(t, "secretref: the Resolver was not made by New", func() { use(&r) })
			require.PanicsWithValue(t, "secretref: the Resolver was not made by New", func() { use(none) })
		})
	}
	var k secretref.Keyring
	require.PanicsWithValue(t, "secretref: the Keyring was not made by OpenKeyring", func() { _, _ = k.Get(ctx, "a") })
	require.PanicsWithValue(t, "secretref: the Keyring was not made by OpenKeyring", func() { _ = k.Close() })
}

// dump writes every string and byte that can be reached from v by reflection,
// through pointers and unexported fields, as the printers of test libraries do.
func dump(v any) string {
	var b strings.Builder
	seen := map[visited]bool{}
	dumpValue(&b, reflect.ValueOf(v), seen)
	return b.String()
}

type visited struct {
	at  unsafe.Pointer
	typ reflect.Type
}

func dumpValue(b *strings.Builder, v reflect.Value, seen map[visited]bool) {
	switch v.Kind() {
	case reflect.String:
		b.WriteString(v.String() + "\n")
	case reflect.Pointer:
		if v.IsNil() || seen[visited{v.UnsafePointer(), v.Type()}] {
			return
		}
		seen[visited{v.UnsafePointer(), v.Type()}] = true
		dumpValue(b, v.Elem(), seen)
	case reflect.Interface:
		dumpValue(b, v.Elem(), seen)
	case reflect.Struct:
		for i := range v.NumField() {
			dumpValue(b, v.Field(i), seen)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			for i := range v.Len() {
				b.WriteByte(byte(v.Index(i).Uint()))
			}
			return
		}
		for i := range v.Len() {
			dumpValue(b, v.Index(i), seen)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			dumpValue(b, it.Key(), seen)
			dumpValue(b, it.Value(), seen)
		}
	}
}

// quietT is a test that only notes what testify says.
type quietT struct{ bytes.Buffer }

func (q *quietT) Errorf(format string, args ...any) { fmt.Fprintf(q, format, args...) }

func TestDumpsShowNoSecret(t *testing.T) {
	type holder struct{ private any }
	require.Contains(t, dump(&holder{private: &struct{ text []byte }{[]byte(canary)}}), canary, "the dump sees what it should")

	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"password": canary})
	keys := openKeyring(t, keyringPath(t), nil)
	require.NoError(t, keys.Put(t.Context(), "stored", secretref.NewSecret(canary)))
	opts := &secretref.Options{Keyring: keys, LastKnown: keys}
	r := secretref.New(opts)
	defer r.Close()
	value := vaultValue(s.URL(), "db", "password")
	got, err := r.Resolve(t.Context(), value)
	require.NoError(t, err)
	require.Equal(t, canary, got.Reveal())
	live, err := r.Watch(t.Context(), value)
	require.NoError(t, err)
	connector := secretref.Connector(live, func(context.Context, secretref.Secret) (driver.Conn, error) { return nullConn{}, nil }, nil)
	_, err = connector.Connect(t.Context())
	require.NoError(t, err)

	for name, v := range map[string]any{
		"Secret": got, "Resolver": r, "Resolver by value": *r, "Options": opts, "Keyring": keys, "Keyring by value": *keys, "Handle": live, "Connector": connector,
		"Handler": keys.Handler(nil), "database": sql.OpenDB(connector), "sequence": live.Updates(t.Context()), "names": keys.Names(t.Context()),
	} {
		t.Run(name, func(t *testing.T) {
			q := &quietT{}
			assert.Equal(q, 1, v)
			assert.Nil(q, v)
			assert.Equal(q, holder{v}, &holder{v})
			for what, text := range map[string]string{
				"reflection": dump(v), "inside a struct": dump(&holder{v}), "testify": q.String(),
				"fmt": fmt.Sprintf("%v %+v %#v %s %q %x %d %p", v, v, v, v, v, v, v, v), "fmt in a struct": fmt.Sprintf("%v %+v %#v %x", holder{v}, holder{v}, &holder{v}, holder{v}),
			} {
				require.NotContains(t, text, canary, what)
				require.NotContains(t, text, s.RootToken(), what)
				require.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", canary), what)
			}
		})
	}
}

// fmt follows a pointer, at any depth, for a verb that makes no sense for it.
func TestOptionsDoNotPrintCredentials(t *testing.T) {
	type auth struct {
		api.AuthMethod
		SecretID string
	}
	opts := secretref.Options{
		AWS:   secretref.AWSOptions{Config: &aws.Config{Credentials: credentials.NewStaticCredentialsProvider("AKIA", canary, canary)}},
		Vault: secretref.VaultOptions{Auth: &auth{SecretID: canary}, Role: "team"},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%c", "%U", "%e", "%p", "%w", "%10s", "%T"} {
		for _, v := range []any{opts, &opts, opts.AWS, &opts.AWS, opts.Vault, &opts.Vault, []any{opts}} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, canary, verb)
			require.NotContains(t, text, fmt.Sprintf("%x", canary), verb)
		}
	}
	require.Equal(t, "{Config:(set) Batch:false}", opts.AWS.String())
	require.Contains(t, opts.Vault.String(), `Auth:(set) NoToken:false RenewToken:false Role:"team"`)
	require.NotContains(t, secretref.VaultOptions{JWTPath: "eyJ" + canary}.String(), canary, "a token in place of its path")
}

func TestResolveStructFindsTypesDefinedAsSecret(t *testing.T) {
	type Password secretref.Secret
	fake := secretref.NewFake()
	fake.Set(vaultRef, "behind")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	var unset struct {
		A Password
		B Password `secretref:"optional"`
	}
	err := r.ResolveStruct(t.Context(), &unset)
	require.ErrorIs(t, err, secretref.ErrNotReference)
	require.ErrorContains(t, err, "A: ")
	require.NotContains(t, err.Error(), "B: ")

	set := struct {
		One Password
		All []Password
		Map map[string]*Password
	}{Password(secretref.NewSecret(vaultRef)), []Password{Password(secretref.NewSecret(vaultRef))}, map[string]*Password{"a": new(Password(secretref.NewSecret(vaultRef)))}}
	require.NoError(t, r.ResolveStruct(t.Context(), &set))
	for _, p := range []Password{set.One, set.All[0], *set.Map["a"]} {
		require.Equal(t, "behind", secretref.Secret(p).Reveal())
	}
}
