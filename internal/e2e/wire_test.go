package e2e

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// An exchange is a request and the expected status. $names in it are replaced by what earlier
// exchanges saved and by the variables of the test.
type exchange struct {
	method, path, body string
	token              string // "" for none
	status             int
	save               string // name=path.to.text in the answer
	header             http.Header
}

// TestFakeVault_answers sends the same requests, in the same order, to the real server and to the
// fake, and compares the answers one by one.
func TestFakeVault_answers(t *testing.T) {
	for name, script := range map[string][]exchange{
		"mounts":            mountScript,
		"KV version 2":      kv2Script,
		"KV version 1":      kv1Script,
		"paths":             pathScript,
		"policies":          policyScript,
		"policy precedence": precedenceScript(),
		"tokens":            tokenScript,
		"token creation":    tokenCreationScript,
		"sealing":           sealScript,
		"Kubernetes set-up": kubernetesSetupScript,
		"Kubernetes login":  kubernetesLoginScript,
		"AppRole":           appRoleScript,
		"bodies":            bodyScript,

		"KV version 2 settings": kv2SettingsScript,
		"KV version 2 PATCH":    kv2PatchScript,
		"attribution":           attributionScript,
		"batch tokens":          batchTokenScript,
		"orphan tokens":         orphanTokenScript,
		"parameters":            parameterScript,
		"requests":              requestScript,
		"broken policies":       brokenPolicyScript,
	} {
		t.Run(name, func(t *testing.T) {
			k8s := startCluster(t)
			vars := map[string]string{
				"garbage":   "hvs.garbage",
				"wrongKey":  base64.StdEncoding.EncodeToString(make([]byte, 32)),
				"cluster":   k8s.config(t),
				"noCluster": strings.Replace(k8s.config(t), k8s.url, "https://127.0.0.1:1", 1),
				"jwt":       jwt(t, nil),
				"forged":    forged(jwt(t, nil)),
				"dev":       jwt(t, func(c *claims) { c.Kubernetes.Namespace = "dev" }),
				"other":     jwt(t, func(c *claims) { c.Kubernetes.Account.Name = "other-sa" }),
				"elsewhere": jwt(t, func(c *claims) { c.Audience = []string{"elsewhere"} }),
				"expired":   jwt(t, func(c *claims) { c.Expires = 1.7e9 + 1 }),
				"early":     jwt(t, func(c *claims) { c.NotBefore = 4e9 - 1 }),
			}
			play(t, startVault(t), startFake(t), vars, script)
		})
	}
}

func play(t *testing.T, vault, fake *server, vars map[string]string, script []exchange) {
	both := []*server{vault, fake}
	known := []map[string]string{maps.Clone(vars), maps.Clone(vars)}
	for i, s := range both {
		known[i]["root"], known[i]["unsealKey"] = s.RootToken, s.unsealKey
	}
	for _, x := range script {
		var answers [2]answer
		for i, s := range both {
			header := http.Header{}
			for name, values := range x.header {
				header.Set(name, fill(values[0], known[i]))
			}
			answers[i] = s.askWith(t, header, x.method, fill(x.path, known[i]), fill(x.body, known[i]),
				fill(x.token, known[i]))
			if name, path, ok := strings.Cut(x.save, "="); ok {
				known[i][name] = textAt(t, answers[i].body, path)
			}
		}
		what := x.method + " " + x.path + " " + x.body + " " + x.token
		assert.Equal(t, x.status, answers[0].status, "%s: vault answers %s", what, answers[0].body)
		assert.Equal(t, x.status, answers[1].status, "%s: the fake answers %s", what, answers[1].body)
		assert.Equal(t, comparable(answers[0]), comparable(answers[1]), what)
	}
}

// fill replaces variables by their values.
func fill(text string, vars map[string]string) string {
	return regexp.MustCompile(`\$[a-zA-Z0-9]+`).ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := vars[name[1:]]; ok {
			return value
		}
		return name
	})
}

// comparable returns an answer without the parts that differ between any two servers.
func comparable(a answer) map[string]any {
	c := map[string]any{"body": blur("", decode(a.body))}
	for _, name := range []string{"Content-Type", "Cache-Control", "Location", "Retry-After",
		"X-Vault-Namespace"} {
		c[name] = a.header.Get(name)
	}
	return c
}

// volatile are the members with a random value or a time. Only their presence is compared.
var volatile = regexp.MustCompile(`^(request_id|accessor|uuid|id|entity_id|client_id|client_token|role_id|secret_id|` +
	`secret_id_accessor|cluster_name|cluster_id|build_date|server_time_utc|.*_time|last_renewal)$`)

// remaining are the members with a remaining time, which depends on the speed of the machine. They
// are compared to the minute.
var remaining = regexp.MustCompile(`^(ttl|lease_duration)$`)

// quoted matches a duration in a warning, which can be a remaining time, too.
var quoted = regexp.MustCompile(`"(\d+h)?(\d+m)?\d+(\.\d+)?s"|"\d+h(\d+m)?"|"\d+m"`)

// dependsOnTime reports whether a warning occurs only if a second has passed since a token was
// created: its full TTL was requested, which is then more than the remaining TTL.
func dependsOnTime(warning any) bool {
	text, _ := warning.(string)
	times := quoted.FindAllString(text, -1)
	return strings.HasPrefix(text, "TTL of ") && len(times) == 2 && times[0] == times[1]
}

func blur(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		blurred := map[string]any{}
		for name, value := range v {
			blurred[name] = blur(name, value)
		}
		return blurred
	case []any:
		blurred := []any{}
		for _, value := range v {
			if value = blur("", value); name != "warnings" || !dependsOnTime(value) {
				blurred = append(blurred, value)
			}
		}
		if name == "warnings" && len(blurred) == 0 {
			return nil
		}
		return blurred
	case string:
		if v != "" && volatile.MatchString(name) {
			return "a text"
		}
		return quoted.ReplaceAllStringFunc(v, func(text string) string {
			d, err := time.ParseDuration(strings.Trim(text, `"`))
			if err != nil {
				return text
			}
			return strconv.Quote(d.Round(time.Minute).String())
		})
	case json.Number:
		n, err := v.Int64()
		switch {
		case err == nil && volatile.MatchString(name):
			return "a number"
		case err == nil && remaining.MatchString(name):
			return (n + 30) / 60 * 60
		}
	}
	return v
}
