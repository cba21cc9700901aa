package secretref_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// requireSilent fails if v, in any shape, contains the canary when it is printed, logged or
// encoded.
func requireSilent(t *testing.T, v any) {
	t.Helper()
	type holder struct {
		Exported any
		hidden   any
	}
	shapes := map[string]any{
		"value": v, "pointer": &v, "slice": []any{v}, "map": map[string]any{"k": v}, "map key": v,
		"exported field": holder{Exported: v}, "unexported field": holder{hidden: v},
		"pointer to struct": &holder{v, v},
		"typed":             typed(v), "error": fmt.Errorf("wrapped: %v", v),
	}
	for shape, x := range shapes {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "20.3"} {
				require.NotContains(t, fmt.Sprintf("%"+flag+string(verb), x), canary, "%s with %%%s%c", shape,
					flag, verb)
			}
		}
		require.NotContains(t, fmt.Sprint(x)+fmt.Sprintln(x), canary, shape)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Error("m", "k", x, slog.Any("k", x),
			slog.Group("g", "k", x))
		slog.New(slog.NewJSONHandler(&log, nil)).Error("m", "k", x, slog.Any("k", x),
			slog.Group("g", "k", x))
		slog.New(slog.NewTextHandler(&log, nil)).With("k", x).Error("m")
		require.NotContains(t, log.String(), canary, shape)
		for name, encode := range map[string]func(any) ([]byte, error){
			"json": json.Marshal, "xml": xml.Marshal, "gob": encodeGob,
		} {
			text, err := encode(x)
			require.NotContains(t, string(text), canary, "%s as %s", shape, name)
			if err != nil {
				require.NotContains(t, err.Error(), canary, "%s as %s", shape, name)
			}
		}
		var failure recorder
		assert.Equal(&failure, "another", x)
		assert.Nil(&failure, x)
		assert.Contains(&failure, []any{x}, "another")
		require.NotContains(t, failure.String(), canary, "%s in a failed assertion", shape)
	}
}

// recorder records the failure messages of a test library.
type recorder struct{ bytes.Buffer }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(r, format, args...) }

// typed returns a struct whose fields have the type of v.
func typed(v any) any {
	t := reflect.TypeOf(v)
	s := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "Field", Type: t}, {Name: "Slice", Type: reflect.SliceOf(t)},
		{Name: "Map", Type: reflect.MapOf(reflect.TypeFor[string](), t)},
	})).Elem()
	s.Field(0).Set(reflect.ValueOf(v))
	s.Field(1).Set(reflect.Append(s.Field(1), reflect.ValueOf(v)))
	m := reflect.MakeMap(s.Field(2).Type())
	m.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(v))
	s.Field(2).Set(m)
	return s.Interface()
}

func encodeGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func TestRedaction_fake(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, canary)
	requireSilent(t, fake)
}

// requireQuiet fails if v, in the shapes that call its methods, contains the canary when it
// is printed, logged or encoded. It leaves out an unexported field with v itself, and verbs
// that do not fit (%p, %w, and all but %v, %d and %x for an unexported pointer), because fmt
// then prints the strings of v without calling a method. Vet finds such verbs.
func requireQuiet(t *testing.T, v any) {
	t.Helper()
	pointer := reflect.New(reflect.TypeOf(v))
	pointer.Elem().Set(reflect.ValueOf(v))
	p := pointer.Interface()
	for _, format := range []string{"%v", "%+v", "%#v", "%d", "%x"} {
		require.NotContains(t, fmt.Sprintf(format, struct{ pointer any }{p}), canary,
			"unexported field with %s", format)
	}
	for shape, x := range map[string]any{
		"value": v, "pointer": p, "slice": []any{v, p}, "map": map[string]any{"k": v, "p": p},
		"map key":             map[any]int{p: 1},
		"exported field":      struct{ Value, Pointer any }{v, p},
		"pointer to a struct": &struct{ Value, Pointer any }{v, p},
		"typed":               typed(v), "typed pointer": typed(p),
		"error":  fmt.Errorf("wrapped: %v, %v", v, p),
		"joined": errors.Join(fmt.Errorf("%+v", v), fmt.Errorf("%#v", p)),
	} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsz" {
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "20.3", "[1]"} {
				require.NotContains(t, fmt.Sprintf("%"+flag+string(verb), x), canary, "%s with %%%s%c", shape,
					flag, verb)
			}
		}
		require.NotContains(t, fmt.Sprint(x)+fmt.Sprintln(x), canary, shape)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{
			slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil),
		} {
			slog.New(handler).Error("m", "k", x, slog.Any("k", x), slog.Group("g", "k", x))
			slog.New(handler).With("k", x).WithGroup("g").Error("m", "k", x)
		}
		require.NotContains(t, log.String(), canary, shape)
		for name, encode := range map[string]func(any) ([]byte, error){
			"json": json.Marshal, "xml": xml.Marshal, "gob": encodeGob,
		} {
			text, err := encode(x)
			require.NotContains(t, string(text), canary, "%s as %s", shape, name)
			if err != nil {
				require.NotContains(t, err.Error(), canary, "%s as %s", shape, name)
			}
		}
	}
}

func TestRedaction_settings(t *testing.T) {
	database := secretref.Database{
		Driver: "d", URL: secretref.NewSecret("jdbc:postgresql://db/x"), Username: "u",
		Password: secretref.NewSecret(canary),
	}
	settings := secretref.Settings{
		Product: secretref.Jira, Database: database,
		Secrets: map[string]secretref.Secret{jiraPassword: secretref.NewSecret(canary)},
	}
	requireSilent(t, database)
	requireSilent(t, &database)
	requireSilent(t, settings)
	requireSilent(t, &settings)
}

func TestRedaction_config(t *testing.T) {
	url := secretref.NewSecret("jdbc:postgresql://u:" + canary + "@db/x?password=" + canary)
	password := secretref.NewSecret(canary)
	config := secretref.ConfigFile{
		Product: secretref.Jira, Path: "dbconfig.xml",
		Entries: []secretref.Entry{{Key: jiraPassword, Value: password, Line: 14}},
	}
	database := secretref.Database{
		Driver: "d", URL: url, Username: "u", Schema: "s", Password: password,
	}
	settings := secretref.Settings{
		Product: secretref.Jira, Database: database,
		Secrets: map[string]secretref.Secret{jiraPassword: password},
	}
	read := readConfig(t, "dbconfig.xml", jiraFile("url", "jdbc:postgresql://db/x", "username", "u",
		"password", canary,
		"connection-properties", "sslpassword="+canary))
	resolver := secretref.New(&secretref.Options{Fake: configFake()})
	defer resolver.Close()
	resolved, err := resolver.ResolveConfig(t.Context(), read)
	require.NoError(t, err)

	for name, v := range map[string]any{
		"config": config, "pointer to a config": &config, "entries": config.Entries,
		"entry":    config.Entries[0],
		"database": database, "pointer to a database": &database, "settings": settings,
		"pointer to settings":  &settings,
		"a file that was read": read, "settings of a file": resolved,
		"database of a file": resolved.Database,
	} {
		t.Run(name, func(t *testing.T) {
			requireSilent(t, v)
			requireSilent(t, struct{ hidden any }{v})
			// A test library that dumps two different values calls no methods and follows
			// pointers in unexported fields.
			var failure recorder
			assert.Equal(&failure, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
			require.NotEmpty(t, failure.String())
			require.NotContains(t, failure.String(), canary)
		})
	}

	text, err := json.Marshal(config)
	require.NoError(t, err)
	require.JSONEq(t,
		`{"Product":"jira","Path":"dbconfig.xml","Entries":[{"Key":"jdbc-datasource/password",`+
			`"Value":"[redacted]","Line":14}]}`, string(text))
	require.Equal(t, "{jira dbconfig.xml [{jdbc-datasource/password [redacted] 14 }]}",
		fmt.Sprint(config))
}

func TestRedaction_resolver(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+canary+`"}`)
	store := &remote{texts: map[string]string{remoteA: canary}}
	for _, opts := range []*secretref.Options{
		{Fake: fake}, {Providers: []secretref.Provider{
			{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch},
		}},
	} {
		value := awsRef
		if opts.Fake == nil {
			value = remoteA
		}
		r := secretref.New(opts)
		require.Equal(t, canary, resolveText(t, r, value))
		requireSilent(t, r)
		live, err := r.WatchAll(t.Context(), value)
		require.NoError(t, err)
		require.NoError(t, r.Close()) // reflection would race with the background goroutines
		requireSilent(t, live)
		requireSilent(t, secretref.Connector(live, (&database{}).connectAll, nil))
	}
}

// dump returns all strings and bytes that reflection reaches from v, through pointers and
// unexported fields, as the printers of test libraries do.
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

// quietT records the messages of testify and does not fail.
type quietT struct{ bytes.Buffer }

func (q *quietT) Errorf(format string, args ...any) { fmt.Fprintf(q, format, args...) }

func TestRedaction_dumps(t *testing.T) {
	type holder struct{ private any }
	require.Contains(t, dump(&holder{private: &struct{ text []byte }{[]byte(canary)}}), canary,
		"dump finds a secret")

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
	connector := secretref.Connector(live, func(context.Context, secretref.Secret) (driver.Conn,
		error) {
		return nullConn{}, nil
	}, nil)
	_, err = connector.Connect(t.Context())
	require.NoError(t, err)

	for name, v := range map[string]any{
		"Secret": got, "Resolver": r, "Resolver by value": *r, "Options": opts, "Keyring": keys,
		"Keyring by value": *keys, "Live": live, "Connector": connector,
		"Handler": keys.Handler(nil), "database": sql.OpenDB(connector),
		"sequence": live.Updates(t.Context()), "names": keys.Names(t.Context()),
	} {
		t.Run(name, func(t *testing.T) {
			q := &quietT{}
			assert.Equal(q, 1, v)
			assert.Nil(q, v)
			assert.Equal(q, holder{v}, &holder{v})
			for what, text := range map[string]string{
				"reflection": dump(v), "inside a struct": dump(&holder{v}), "testify": q.String(),
				"fmt":             fmt.Sprintf("%v %+v %#v %s %q %x %d %p", v, v, v, v, v, v, v, v),
				"fmt in a struct": fmt.Sprintf("%v %+v %#v %x", holder{v}, holder{v}, &holder{v}, holder{v}),
			} {
				require.NotContains(t, text, canary, what)
				require.NotContains(t, text, s.RootToken(), what)
				require.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", canary), what)
			}
		})
	}
}
