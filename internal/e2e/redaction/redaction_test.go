// Package redaction tests that the printers developers use print no secret held by this library.
package redaction_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/google/go-cmp/cmp"
	"github.com/k0kubun/pp/v3"
	"github.com/kr/pretty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

const (
	canary    = "c4nary-hunter2"
	awsKey    = "key-" + canary + "-0123456789" // a secret access key of legal length
	awsToken  = "session-" + canary
	urlSecret = "url-" + canary
)

type holder struct{ private any }

// printers returns the printers by the name of their package.
func printers() map[string]func(any) string {
	all := spew.ConfigState{Indent: " ", DisableMethods: true, MaxDepth: 40}
	pp := pp.New()
	pp.SetColoringEnabled(false)
	pp.SetExportedOnly(false)
	return map[string]func(any) string{
		"spew":                 func(v any) string { return spew.Sdump(v) },
		"spew without methods": func(v any) string { return all.Sdump(v) },
		"kr/pretty":            func(v any) string { return pretty.Sprint(v) },
		"pp":                   func(v any) string { return pp.Sprint(v) },
		"go-cmp": func(v any) string {
			return cmp.Diff(holder{1}, holder{v}, cmp.Exporter(func(reflect.Type) bool { return true }))
		},
		"testify": func(v any) string {
			q := &quietT{}
			assert.Equal(q, holder{1}, holder{v})
			assert.Nil(q, v)
			assert.Len(q, v, 1000)
			return q.String()
		},
		"fmt": func(v any) string {
			var b strings.Builder
			for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %c %U %e %p %T") {
				fmt.Fprintf(&b, verb+verb+verb, v, holder{v}, &holder{v})
			}
			fmt.Fprint(&b, fmt.Errorf("%w %w", asError(v), asError(holder{v})))
			return b.String()
		},
		"slog": func(v any) string {
			var b strings.Builder
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v, "h", holder{v})
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v, "h", holder{v})
			return b.String()
		},
	}
}

type quietT struct{ strings.Builder }

func (q *quietT) Errorf(format string, args ...any) { fmt.Fprintf(&q.Builder, format, args...) }

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return fmt.Errorf("%v %+v %#v", v, v, v)
}

func TestRedaction(t *testing.T) {
	ctx := t.Context()
	vault := fakevault.New()
	defer vault.Close()
	vault.Put("secret", "db", map[string]any{"password": canary})
	t.Setenv("SECRET_STORE_VAULT_TOKEN", vault.RootToken())
	amazon := fakeaws.New()
	defer amazon.Close()
	amazon.AddKey("AKIDEXAMPLE", awsKey, awsToken)
	amazon.PutSecret("eu-west-1", "db", canary)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": awsKey,
		"AWS_SESSION_TOKEN":                awsToken,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": amazon.URL(), "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "none"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(filepath.Join(dir, "k.db")), nil)
	require.NoError(t, err)
	defer keys.Close()
	require.NoError(t, keys.Put(ctx, "stored", secretref.NewSecret(canary)))
	root, err := os.ReadFile(filepath.Join(dir, "k.db.key"))
	require.NoError(t, err)

	vaultRef := fmt.Sprintf(`{"mount":"secret","path":"db","key":"password","endpoint":%q}`,
		vault.URL())
	opts := &secretref.Options{Keyring: keys, LastKnown: keys}
	r := secretref.New(opts)
	defer r.Close()
	secrets, err := r.ResolveAll(ctx, vaultRef, `{"region":"eu-west-1","secretId":"db"}`,
		`{"keyring":"stored"}`)
	require.NoError(t, err)
	for _, s := range secrets {
		require.Equal(t, canary, s.Reveal())
	}
	live, err := r.WatchAll(ctx, vaultRef, `{"region":"eu-west-1","secretId":"db"}`)
	require.NoError(t, err)
	connector := secretref.Connector(live,
		func(context.Context, []secretref.Secret) (driver.Conn, error) {
			return nil,
				errors.New("no")
		}, nil)

	file := filepath.Join(dir, "dbconfig.xml")
	require.NoError(t,
		os.WriteFile(file,
			[]byte(`<jira-database-config><jdbc-datasource><url>jdbc:postgresql://db/jira?password=`+
				urlSecret+
				`</url><driver-class>org.postgresql.Driver</driver-class><username>app</username><password>`+
				urlSecret+`</password></jdbc-datasource></jira-database-config>`), 0o600))
	config, err := secretref.ReadConfig(file)
	require.NoError(t, err)
	settings, err := r.ResolveConfig(ctx, config)
	require.NoError(t, err)
	source, err := settings.Database.DataSource()
	require.NoError(t, err)
	require.Contains(t, source.Name.Reveal(), urlSecret)

	store := secretref.New(&secretref.Options{Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"},
		Fetch: func(context.Context, []byte) ([]byte, error) {
			return nil,
				fmt.Errorf("quotes %s", canary)
		}}}})
	defer store.Close()
	_, failed := store.Resolve(ctx, `{"storeId":"x"}`)
	require.Error(t, failed)
	_, malformed := secretref.Parse("{ENC}" + canary)
	require.Error(t, malformed)
	vault.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errors":["`+canary+`"]}`)
		return true
	})
	fresh := secretref.New(nil)
	defer fresh.Close()
	_, refused := fresh.Resolve(ctx, vaultRef)
	require.Error(t, refused)

	hidden := []string{canary, vault.RootToken(), awsKey, awsToken, strings.TrimSpace(string(root)),
		fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]")}
	values := map[string]any{
		"Secret": secrets[0], "*Secret": &secrets[0], "[]Secret": secrets,
		"map":      map[string]secretref.Secret{"k": secrets[0]},
		"Resolver": r, "Resolver by value": *r, "Options": opts, "Keyring": keys, "Live": live,
		"Live by value": *live, "Connector": connector,
		"DB": sql.OpenDB(connector), "Handler": keys.Handler(nil), "Config": config,
		"Config by value": *config, "Entries": config.Entries,
		"Entry": config.Entries[0], "Settings": settings, "Database": settings.Database,
		"DataSource":          source,
		"error of a Provider": failed, "error of the grammar": malformed, "error of Vault": refused,
		"joined errors": errors.Join(failed, malformed, refused),
	}
	for name, v := range values {
		for printer, print := range printers() {
			for shape, v := range map[string]any{"": v, " in a struct": holder{v},
				" in a pointer to a struct": &holder{v}} {
				text := print(v)
				for _, secret := range hidden {
					require.NotContains(t, text, secret, "%s%s, printed by %s", name, shape, printer)
				}
			}
		}
	}
	for printer, print := range printers() { // they print what is not hidden
		require.Contains(t, print(holder{"v1sible"}), "v1sible", printer)
	}
}
