package lastknown_test

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/lastknown"
	"github.com/seed74218947/secretref/internal/ref"
)

// memory is a Keyring in memory.
type memory map[string]string

func (m memory) Get(_ context.Context, name string) (string, error) {
	text, ok := m[name]
	if !ok {
		return "", fault.New(fault.NotFound, "nothing")
	}
	return text, nil
}

func (m memory) Put(_ context.Context, name, text string) error {
	m[name] = text
	return nil
}

func (m memory) Delete(_ context.Context, name string) error {
	delete(m, name)
	return nil
}

// A secret that is stored for one target and scope is never found under another,
// however similar their texts are.
func TestStore(t *testing.T) {
	custom := func(class, text string) ref.Target { return ref.Target{Kind: ref.Custom, Class: class, Text: text} }
	vault := func(mount, path string) ref.Target { return ref.Target{Kind: ref.Vault, Mount: mount, Path: path} }
	type key struct {
		group ref.Target
		scope []string
	}
	keys := []key{
		{custom("c", "db-\xff"), nil},
		{custom("c", "db-\xfe"), nil},
		{custom("c", "db-\ufffd"), nil},
		{custom("c", `db-\ufffd`), nil},
		{custom("c\xff", "db"), nil},
		{custom("c\xfe", "db"), nil},
		{custom("cd", "b"), nil},
		{custom("c", "\u2028"), nil},
		{custom("c", "<"), nil},
		{custom("c", "db"), []string{""}},
		{custom("c", "db"), []string{"", ""}},
		{custom("c", "db"), []string{"a\nb"}},
		{custom("c", "db"), []string{"a", "b"}},
		{custom("c", "db"), []string{"a", "\xff"}},
		{custom("c", "db"), []string{"a", "\xfe"}},
		{vault("a", "b/c"), nil},
		{vault("a/b", "c"), nil},
		{vault("", "a"), nil},
		{vault("a", ""), nil},
		{ref.Target{Kind: ref.Vault, Auth: "a"}, nil},
		{ref.Target{Kind: ref.AWS, Mount: "a"}, nil},
		{ref.Target{Kind: ref.AWS, Secret: "a"}, nil},
	}
	t.Run("every field of a target counts", func(t *testing.T) {
		group := reflect.TypeFor[ref.Target]()
		for i := range group.NumField() {
			if group.Field(i).Type.Kind() != reflect.String {
				continue
			}
			g := ref.Target{Kind: ref.Custom}
			reflect.ValueOf(&g).Elem().Field(i).SetString("x")
			m := memory{}
			s := lastknown.New(m, func(ref.Kind) []string { return nil }, slog.New(slog.DiscardHandler))
			s.Save(t.Context(), g, fetch.Document{Text: "secret"}, time.Now())
			_, _, ok := s.Load(t.Context(), ref.Target{Kind: ref.Custom})
			require.False(t, ok, group.Field(i).Name)
		}
	})
	t.Run("names", func(t *testing.T) {
		m := memory{}
		for i, k := range keys {
			s := lastknown.New(m, func(ref.Kind) []string { return k.scope }, slog.New(slog.DiscardHandler))
			_, _, ok := s.Load(t.Context(), k.group)
			require.False(t, ok, "%q finds another's secret", keys[i])
			s.Save(t.Context(), k.group, fetch.Document{Text: "secret\xff"}, time.Now())
			got, _, ok := s.Load(t.Context(), k.group)
			require.True(t, ok)
			require.Equal(t, "secret\xff", got.Text)
			require.Len(t, m, i+1)
		}
		for name := range m {
			require.True(t, lastknown.Reserved(name))
		}
		for _, k := range keys {
			s := lastknown.New(m, func(ref.Kind) []string { return k.scope }, slog.New(slog.DiscardHandler))
			require.True(t, s.Remove(t.Context(), k.group))
		}
		require.Empty(t, m)
	})
}
