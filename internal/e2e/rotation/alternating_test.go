package rotation_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// The access key of every AWS client in this process.
const accessKey, secretKey = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE":     "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		_ = os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

// The alternating-users rotation of AWS changes the password of the user that is not in use and
// then writes both into the secret.
func TestConnector_alternatingUsers(t *testing.T) {
	t.Parallel()
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	alter := alterer(admin, "ALTER ROLE %s PASSWORD '%s'")
	clone := d.User + "_clone"
	passwords := map[string]string{d.User: d.Password, clone: d.CreateUser(t, clone)}

	type pair struct{ user, password string }
	written := map[pair]bool{}
	store := fakeaws.New()
	t.Cleanup(store.Close)
	store.AddKey(accessKey, secretKey, "")
	put := func(user string) {
		text, err := json.Marshal(map[string]string{"engine": "postgres", "username": user,
			"password": passwords[user]})
		require.NoError(t, err)
		store.PutSecret("eu-west-1", "app/db", string(text))
		written[pair{user, passwords[user]}] = true
	}
	put(d.User)

	r := secretref.New(&secretref.Options{TTL: 5 * time.Minute})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	ref := func(member string) string {
		return `{ENC}{"region":"eu-west-1","secretId":"app/db","secretPointer":"/` + member +
			`","endpointOverride":"` + store.URL() + `"}`
	}
	h, err := r.WatchAll(t.Context(), ref("username"), ref("password"))
	require.NoError(t, err)

	var mu sync.Mutex
	tried := map[pair]int{}
	l := startLoad(t,
		oneRow(open(t,
			secretref.Connector(h, postgresConnect(t, d, func(login []secretref.Secret, _ error) {
				mu.Lock()
				defer mu.Unlock()
				tried[pair{login[0].Reveal(), login[1].Reveal()}]++
			}), nil))))
	user, other := d.User, clone
	for range 6 {
		user, other = other, user
		passwords[user] = rand.Text()
		alter(t, user, passwords[user])
		time.Sleep(window)
		put(user)
		time.Sleep(window)
		l.wait(t)
	}
	l.end()
	for _, f := range l.since(time.Time{}) {
		assert.NoError(t, f.err)
	}
	for p := range tried {
		assert.True(t, written[p], "%s was tried with a password that was never written with it", p.user)
	}
	assert.GreaterOrEqual(t, len(tried), 3)
	assert.LessOrEqual(t, store.Calls(), 2*len(tried))
	t.Logf("%d queries, %d of 7 versions used, %d calls of Secrets Manager", l.queries.Load(),
		len(tried), store.Calls())
}
