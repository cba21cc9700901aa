package secretref_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestSecret_Value(t *testing.T) {
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
	for _, arg := range []any{
		secret, &secret, secretref.Secret{}, sql.NamedArg{Name: "p", Value: secret},
	} {
		_, err = db.ExecContext(t.Context(), "INSERT", arg)
		require.ErrorContains(t, err, "Reveal")
		require.NotContains(t, err.Error(), canary)
	}
	_, err = db.ExecContext(t.Context(), "INSERT", (*secretref.Secret)(nil))
	require.NoError(t, err, "a nil *Secret is NULL")
}

// nullConnector connects to a database that accepts every statement.
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

func TestSecret_states(t *testing.T) {
	require.True(t, secretref.Secret{}.Equal(secretref.NewSecret("")))
	require.True(t, secretref.NewSecret("").IsZero())
	require.False(t, secretref.NewSecret("").Equal(unresolved(t, "")))
	require.Panics(t, func() { _ = unresolved(t, "").Reveal() }, "empty, and never resolved")
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake()})
	defer r.Close()
	s, err := r.Resolve(t.Context(), "plain")
	require.NoError(t, err)
	require.True(t, s.Equal(secretref.NewSecret("plain")), "equal, although made in different ways")
}

func TestSecret_redaction(t *testing.T) {
	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText([]byte(canary)))
	for _, s := range []secretref.Secret{secretref.NewSecret(canary), pending} {
		requireSilent(t, s)
		require.Equal(t, "[redacted]", fmt.Sprint(s))
		require.Equal(t, "[redacted]", s.String())
		text, err := json.Marshal(map[string]any{"password": s, "p": &s})
		require.NoError(t, err)
		require.JSONEq(t, `{"password":"[redacted]","p":"[redacted]"}`, string(text))
	}
}

func TestSecret_UnmarshalText_redacted(t *testing.T) {
	text, err := json.Marshal(secretref.NewSecret(canary))
	require.NoError(t, err)
	var back secretref.Secret
	require.ErrorIs(t, json.Unmarshal(text, &back), secretref.ErrSyntax)
	require.True(t, back.IsZero())
}

func TestSecret_Equal(t *testing.T) {
	a, b := secretref.NewSecret("x"), secretref.NewSecret("x")
	require.True(t, a.Equal(b))
	require.False(t, a.Equal(secretref.NewSecret("y")))
	require.False(t, a.Equal(secretref.Secret{}))
	require.True(t, secretref.Secret{}.Equal(secretref.NewSecret("")))
	require.False(t, reflect.TypeFor[secretref.Secret]().Comparable(), "== does not compile")

	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText([]byte("x")))
	require.False(t, a.Equal(pending), "a reference does not equal its password")
}

func TestSecret_Reveal_unresolved(t *testing.T) {
	var s secretref.Secret
	require.Empty(t, s.Reveal())
	require.True(t, s.IsZero())
	require.NoError(t, s.UnmarshalText([]byte(canary)))
	require.False(t, s.IsZero())
	defer func() {
		p := fmt.Sprint(recover())
		require.Contains(t, p, "ResolveStruct")
		require.NotContains(t, p, canary)
	}()
	_ = s.Reveal()
}

func TestSecret_UnmarshalYAML_mapping(t *testing.T) {
	var s secretref.Secret
	err := s.UnmarshalYAML(func(any) error { return errors.New("cannot unmarshal " + canary) })
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	require.True(t, s.IsZero())

	text := func(v any) error { *v.(*string) = awsRef; return nil }
	var c struct{ Password secretref.Secret }
	require.NoError(t, c.Password.UnmarshalYAML(text))
	require.Panics(t, func() { c.Password.Reveal() }, "it is not resolved yet")
	r := secretref.New(&secretref.Options{Fake: configFake()})
	defer r.Close()
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, secretBehind, c.Password.Reveal())
}

// Some libraries (goccy/go-yaml) decode a scalar and then format it as text: 007 becomes 7.
func TestSecret_UnmarshalYAML_scalars(t *testing.T) {
	type node struct {
		value any    // the decoded value
		text  string // the value as a string
		raw   string // the text of the file
	}
	unmarshal := func(n node, knowsBytes bool) func(any) error {
		return func(v any) error {
			switch v := v.(type) {
			case *string:
				*v = n.text
			case *any:
				*v = n.value
			case interface{ UnmarshalYAML([]byte) error }:
				if knowsBytes {
					return v.UnmarshalYAML([]byte(n.raw))
				}
				reflect.ValueOf(v).Elem().SetString(n.text)
			}
			return nil
		}
	}
	r := secretref.New(&secretref.Options{Fake: secretref.NewFake(), AllowEmpty: true})
	defer r.Close()
	for raw, n := range map[string]node{
		"123": {
			123, "123", "123\n"}, "'007'": {"007", "007", "'007'"}, "'-0'": {"-0", "-0", "'-0'"},
		"true": {true, "true", "true"}, `""`: {"", "", `""`}, "pw": {"pw", "pw", "pw"},
	} {
		var c struct{ Password secretref.Secret }
		require.NoError(t, c.Password.UnmarshalYAML(unmarshal(n, true)), raw)
		require.NoError(t, r.ResolveStruct(t.Context(), &c), raw)
		require.Equal(t, n.text, c.Password.Reveal())
	}
	for raw, n := range map[string]node{
		"007": {
			7, "7", "007"}, "0x1F": {31, "31", "0x1F"}, "1_000": {1000, "1000", "1_000"},
		"-0": {0, "0", "-0"}, "1.10": {1.1, "1.1", "1.10"}, "+5": {5, "5", "+5"},
		"True": {
			true, "true", "True"}, ".INF": {math.Inf(1), "+Inf", ".INF"}, "*alias": {7, "7", "*alias"},
	} {
		var s secretref.Secret
		require.ErrorIs(t, s.UnmarshalYAML(unmarshal(n, true)), secretref.ErrSyntax, raw)
		require.True(t, s.IsZero())
	}
	var c struct{ Password secretref.Secret }
	require.NoError(t, c.Password.UnmarshalYAML(unmarshal(node{7, "007", "007"}, false)),
		"a library that gives the text as it is written")
	require.NoError(t, r.ResolveStruct(t.Context(), &c))
	require.Equal(t, "007", c.Password.Reveal())

	c.Password = secretref.Secret{}
	require.NoError(t, c.Password.UnmarshalYAML(unmarshal(node{nil, "", "*null"}, true)))
	require.ErrorIs(t, r.ResolveStruct(t.Context(), &c), secretref.ErrNotReference,
		"an alias of null sets nothing")
}
