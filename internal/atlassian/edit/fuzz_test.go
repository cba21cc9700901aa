package edit_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/vectors"
)

var names = []string{"dbconfig.xml", "confluence.cfg.xml", "bitbucket.properties", "crowd.cfg.xml"}

// FuzzApply checks the laws of Apply: after a change the product reads the new value
// and everything else as before; reverting it restores every byte; and errors quote
// nothing.
func FuzzApply(f *testing.F) {
	for _, v := range vectors.LoadXML(f) {
		f.Add(0, v.Input, "p")
	}
	for _, v := range vectors.LoadProperties(f) {
		f.Add(2, slices.Concat(v.Input, []byte("\njdbc.password=x\n"), v.Input), " p\\")
		f.Add(2, slices.Concat([]byte("jdbc.password=x\\\n y\n"), v.Input), "é")
	}
	for i, path := range []string{"jira/dbconfig.xml", "confluence/confluence.cfg.xml",
		"bitbucket/shared/bitbucket.properties", "crowd/shared/crowd.cfg.xml"} {
		text, err := os.ReadFile(filepath.Join("../../../testdata", filepath.FromSlash(path)))
		require.NoError(f, err)
		f.Add(i, text, "p")
		f.Add(i, []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), "p ")
		if i != 2 {
			_, body, _ := strings.Cut(string(text), "?>")
			f.Add(i, []byte(utf16Text(body, false)), "\U0001F511&]]>")
			f.Add(i, []byte(utf16Text(body, true)), "\n")
			f.Add(i, []byte("<?xml version='1.0' encoding='windows-1252'?>"+body), "€é")
		}
	}
	for _, r := range xmlRows {
		f.Add(0, []byte(r.was), "p")
	}
	for _, r := range propertiesRows {
		f.Add(2, []byte(r.was), "p")
	}
	f.Fuzz(func(t *testing.T, which int, text []byte, password string) {
		name := names[uint(which)%uint(len(names))]
		old, err := atlassian.Decode(name, text)
		if err != nil {
			t.Skip()
		}
		apply := func(text []byte, c edit.Change) []byte {
			before := string(text)
			got, err := edit.Apply(name, text, c)
			require.Equal(t, before, string(text), "Apply must not modify its argument")
			if err != nil {
				known, ok := err.(*fault.Error)
				require.True(t, ok)
				require.Contains(t, []error{fault.Syntax, fault.Unsupported, fault.NotFound}, known.Kind)
				// it may be a key
				if len(password) > 12 && !strings.Contains(string(text), strings.TrimSpace(password)) {
					require.NotContains(t, err.Error(), password)
				}
				t.Skip()
			}
			requireChanged(t, name, text, got.Text, c)
			return got.Text
		}
		plain := edit.Change{Value: password}
		plaintext := apply(text, plain)
		there := apply(plaintext, toAWS)
		if old.Product == atlassian.Bitbucket && strings.Contains(string(there), "ENC}{") &&
			hasOtherPrefixes(t, name, there) {
			return // they keep the class
		}
		require.Equal(t, string(plaintext), string(apply(there, plain)))
		require.Equal(t, string(plaintext),
			string(apply(apply(there, edit.Change{Value: vaultRef, Class: vaultClass}), plain)))
	})
}

// hasOtherPrefixes reports whether other values than the password have the prefix.
func hasOtherPrefixes(t *testing.T, name string, text []byte) bool {
	file, err := atlassian.Decode(name, text)
	require.NoError(t, err)
	items, err := atlassian.Items(file.Product, file.All())
	require.NoError(t, err)
	return len(items) > 1
}

// requireChanged fails unless the product reads the change in text, and everything
// else as in old.
func requireChanged(t *testing.T, name string, old, text []byte, c edit.Change) {
	t.Helper()
	before, err := atlassian.Decode(name, old)
	require.NoError(t, err)
	after, err := atlassian.Decode(name, text)
	require.NoError(t, err)
	layout := atlassian.LayoutOf(after.Product)
	others := func(file *atlassian.File) (all []atlassian.Entry) {
		for _, e := range file.Entries {
			e.Line = 0
			if e.Key != layout.Password && e.Key != layout.Class &&
				(layout.AnyClass == "" || e.Key != layout.AnyClass) {
				all = append(all, e)
			}
		}
		return all
	}
	require.Equal(t, others(before), others(after))
	items, err := atlassian.Items(after.Product, after.All())
	require.NoError(t, err)
	i := slices.IndexFunc(items, func(i atlassian.Item) bool { return i.Key == layout.Password })
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, c.Value, items[i].Text)
	require.Equal(t, c.Class, items[i].Class)
}
