package coord

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPlainURL: whoever does without net/url reads what net/url would.
func FuzzPlainURL(f *testing.F) {
	for _, seed := range []string{
		"https://vault.example.com", "http://127.0.0.1:8200/", "https://h:/a/b", "https://h:80x", "https://h:1:2", "https://:80", "https:///a",
		"https://h//a", "https://h/./..", "https://u@h", "https://h?q", "https://h#f", "https://h/%41", "https://[::1]:1", "HTTPS://h", "ftp://h", "https://ü",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		path, plain := plainURL(value)
		if !plain {
			return
		}
		u, err := url.Parse(value)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotEmpty(t, u.Hostname())
		require.Equal(t, path, u.Path)
		require.Equal(t, value, u.Scheme+"://"+u.Host+u.Path, "nothing else is in it")
	})
}
