package secretref_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

const (
	awsClass   = "com.atlassian.secrets.store.aws.AwsSecretsManagerStore"
	vaultClass = "com.atlassian.secrets.store.vault.VaultSecretStore"

	base64Class    = "com.atlassian.secrets.store.base64.Base64SecretStore"
	oldBase64      = "com.atlassian.db.config.password.ciphers.base64.Base64Cipher"
	algorithmClass = "com.atlassian.secrets.store.algorithm.AlgorithmSecretStore"
	oldAlgorithm   = "com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher"
	crowdsCipher   = "com.atlassian.db.config.password.ciphers.algorithm.AesOnlyAlgorithmCipher"
)

const jiraPassword, jiraClass = "jdbc-datasource/password",
	"jdbc-datasource/atlassian-password-cipher-provider"

func readConfig(t *testing.T, name, text string) *secretref.ConfigFile {
	t.Helper()
	c, err := secretref.ReadConfig(writeFile(t, name, text))
	require.NoError(t, err)
	return c
}

// element returns an XML element.
func element(name, attr, text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		panic(err)
	}
	return "<" + name + attr + ">" + b.String() + "</" + name + ">\n"
}

// jiraFile returns a dbconfig.xml. Its data source has the given elements, in order:
// name, text, name, text …
func jiraFile(elements ...string) string {
	var b strings.Builder
	for i := 0; i < len(elements); i += 2 {
		b.WriteString(element(elements[i], "", elements[i+1]))
	}
	return "<jira-database-config>\n<jdbc-datasource>\n" + b.String() +
		"</jdbc-datasource>\n</jira-database-config>\n"
}

// confluenceFile returns a confluence.cfg.xml with the given properties: name, text, …
func confluenceFile(properties ...string) string {
	var b strings.Builder
	for i := 0; i < len(properties); i += 2 {
		b.WriteString(element("property", ` name="`+properties[i]+`"`, properties[i+1]))
	}
	return "<confluence-configuration>\n<properties>\n" + b.String() +
		"</properties>\n</confluence-configuration>\n"
}

// setting is an Entry that can be compared.
type setting struct {
	Key, Value string
	Line       int
}

func settingsOf(c *secretref.ConfigFile) []setting {
	var list []setting
	for _, e := range c.Entries {
		list = append(list, setting{e.Key, e.Value.Reveal(), e.Line})
	}
	return list
}

// secretBehind is the secret that awsRef and vaultRef resolve to in configFake.
const secretBehind = "s3cret behind"

func configFake() *secretref.Fake {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+secretBehind+`"}`)
	fake.Set(vaultRef, secretBehind)
	return fake
}

// sealedInline returns a value of the Algorithm class that contains its sealed object.
// The key is that of the same vector, or of another one if it is given.
func sealedInline(t *testing.T, vector string, key ...string) string {
	t.Helper()
	dir, err := filepath.Abs("testdata/vectors/sealed")
	require.NoError(t, err)
	object, err := os.ReadFile(filepath.Join(dir, vector+".SealedObject"))
	require.NoError(t, err)
	text, err := json.Marshal(map[string]string{
		"serializedSealedObject": base64.StdEncoding.EncodeToString(object),
		"keyFilePath":            filepath.Join(dir, append(key, vector)[0]+".SecretKeySpec"),
	})
	require.NoError(t, err)
	return string(text)
}
