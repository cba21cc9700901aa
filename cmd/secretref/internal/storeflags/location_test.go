package storeflags

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestParseLocation(t *testing.T) {
	reference := `{ENC}{"region":"eu-west-1","secretId":"db/p@ss"}`
	for store, want := range map[string]Location{
		"k.db":                {Name: "k.db"},
		"/var/lib/a:b@c/k.db": {Name: "/var/lib/a:b@c/k.db"},
		`C:\keys\k.db`:        {Name: `C:\keys\k.db`},
		"postgres://app@db:5432/keys": {Dialect: secretref.PostgreSQL,
			Name: "postgres://app@db:5432/keys", url: "postgres://app@db:5432/keys"},
		"PostgreSQL://app@db/keys?sslmode=verify-full": {Dialect: secretref.PostgreSQL,
			Name: "postgres://app@db/keys", url: "postgres://app@db/keys?sslmode=verify-full"},
		"postgres://app@a:1,[::1]:2/keys?passfile=x": {Dialect: secretref.PostgreSQL,
			Name: "postgres://app@a:1,[::1]:2/keys", url: "postgres://app@a:1,[::1]:2/keys?passfile=x"},
		"postgres:///keys": {Dialect: secretref.PostgreSQL,
			Name: "postgres:///keys", url: "postgres:///keys"},
		"postgres://app:@db": {Dialect: secretref.PostgreSQL,
			Name: "postgres://app@db", url: "postgres://app@db"},
		"mysql://a%40b@[::1]/keys": {Dialect: secretref.MySQL,
			Name: "mysql://a%40b@[::1]/keys", url: "mysql://a%40b@[::1]/keys"},
		"mariadb://app@db/keys?tls=true": {Dialect: secretref.MySQL,
			Name: "mysql://app@db/keys", url: "mysql://app@db/keys?tls=true"},
		"mysql://app:" + url.PathEscape(reference) +
			"@db/keys": {Dialect: secretref.MySQL, Name: "mysql://app@db/keys",
			url: "mysql://app@db/keys", password: reference},
	} {
		got, err := parseLocation(store)
		require.NoError(t, err, store)
		assert.Equal(t, want, got, store)
	}
}

func TestParseLocation_doesNotQuotePasswords(t *testing.T) {
	for _, store := range []string{
		"postgres://app:canary@db/keys",
		"postgres://app:canary@db",
		"postgres://:canary@db/keys",
		"postgres://app:ca%6eary@db/keys",
		"postgres://app:canary%zz@db/keys",
		"postgres://app:canary",
		"postgres://app:cana/ry@db/canary",
		"postgres://app:cana?ry@db/canary",
		"postgres://app:cana#ry@db/canary",
		"postgres://app:cana@ry@db/canary",
		"postgres://app:12/canary@db/canary",
		"postgres://app:12?canary@db/canary",
		"postgres://app:12#canary",
		"postgres://app@db/canary?password=canary",
		"postgres://app@db/canary?PASSWORD=canary",
		"postgres://app@db/canary?pass%77ord=canary",
		"postgres://app@db/canary?canary%zz",
		"mysql://app@db/keys?passwd=canary",
		"mysql://app@db/keys?x=1&pwd=canary",
		`mysql://app:{"region":"canary"}@db/keys`,
		`mysql://app:%7B%22region%22:%22canary%22%7D@db/keys`,
		"mongodb://app:canary@db/keys",
		"jdbc:mysql://app:canary@db/keys",
	} {
		_, err := parseLocation(store)
		_, usage := err.(*ui.UsageError)
		assert.True(t, usage, store)
		if err != nil {
			assert.NotContains(t, err.Error(), "canary", store)
		}
	}
}
