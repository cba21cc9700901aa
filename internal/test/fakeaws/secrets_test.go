package fakeaws

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetSecretValue(t *testing.T) {
	s := start(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	s.SetClock(at(now))
	arn := s.PutSecret(testRegion, "prod/db", `{"password":"p"}`)
	out, err := get(t, client(t), "prod/db")
	require.NoError(t, err)
	assert.Equal(t, arn, *out.ARN)
	assert.Regexp(t,
		`^arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-[A-Za-z0-9]{6}$`, arn)
	assert.Equal(t, "prod/db", *out.Name)
	assert.Regexp(t,
		regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`),
		*out.VersionId)
	assert.Equal(t, `{"password":"p"}`, *out.SecretString)
	assert.Nil(t, out.SecretBinary)
	assert.Equal(t, []string{"AWSCURRENT"}, out.VersionStages)
	assert.WithinDuration(t, now, *out.CreatedDate, time.Millisecond)
	assert.NotEmpty(t, out.ResultMetadata)

	require.Len(t, s.Requests(), 1)
	r := s.Requests()[0]
	assert.Equal(t, Request{Service: "secretsmanager", Action: "GetSecretValue", Region: testRegion,
		SecretIDs: []string{"prod/db"}, AccessKeyID: testKey, Time: now}, r)
	assert.Equal(t, 1, s.Calls())
	s.ResetCalls()
	assert.Zero(t, s.Calls())
}

func TestGetSecretValue_binary(t *testing.T) {
	s := start(t)
	value := []byte{0, 0xff, '"', '\n'}
	s.PutBinary(testRegion, "keystore", value)
	value[0] = 9 // the fake has a copy
	out, err := get(t, client(t), "keystore")
	require.NoError(t, err)
	assert.Nil(t, out.SecretString)
	assert.Equal(t, []byte{0, 0xff, '"', '\n'}, out.SecretBinary)
}

func TestGetSecretValue_text(t *testing.T) {
	s := start(t)
	c := client(t)
	for _, text := range []string{"", " ", "a\nb\r\n", "<&>\"\\\u2028\u0000", "пароль 🔑",
		strings.Repeat("x", 65536)} {
		s.PutSecret(testRegion, "text", text)
		assert.Equal(t, text, mustGet(t, c, "text"))
	}
}

func TestGetSecretValue_versions(t *testing.T) {
	s := start(t)
	c := client(t)
	read := func(id, stage *string) (*secretsmanager.GetSecretValueOutput, error) {
		return c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{
			SecretId: aws.String("db"), VersionId: id, VersionStage: stage,
		})
	}
	var ids []string
	for _, v := range []string{"one", "two", "three"} {
		arn := s.PutSecret(testRegion, "db", v)
		out, err := get(t, c, "db")
		require.NoError(t, err)
		assert.Equal(t, arn, *out.ARN)
		ids = append(ids, *out.VersionId)
	}
	out, err := read(nil, aws.String("AWSCURRENT"))
	require.NoError(t, err)
	assert.Equal(t, "three", *out.SecretString)
	out, err = read(nil, aws.String("AWSPREVIOUS"))
	require.NoError(t, err)
	assert.Equal(t, "two", *out.SecretString)
	assert.Equal(t, []string{"AWSPREVIOUS"}, out.VersionStages)
	out, err = read(&ids[0], nil)
	require.NoError(t, err)
	assert.Equal(t, "one", *out.SecretString)
	assert.Empty(t, out.VersionStages)
	out, err = read(&ids[1], aws.String("AWSPREVIOUS"))
	require.NoError(t, err)
	assert.Equal(t, "two", *out.SecretString)

	var mismatch *types.InvalidRequestException
	_, err = read(&ids[1], aws.String("AWSCURRENT"))
	require.ErrorAs(t, err, &mismatch)

	var missing *types.ResourceNotFoundException
	_, err = read(nil, aws.String("AWSPENDING"))
	require.ErrorAs(t, err, &missing)
	assert.Equal(t,
		"Secrets Manager can't find the specified secret value for staging label: AWSPENDING",
		missing.ErrorMessage())
	_, err = read(aws.String(newUUID()), nil)
	require.ErrorAs(t, err, &missing)
	assert.Contains(t, missing.ErrorMessage(), "for VersionId: ")
}

func TestGetSecretValue_errors(t *testing.T) {
	s := start(t)
	c := client(t)
	s.PutSecret(testRegion, "gone", "v")
	s.DeleteSecret(testRegion, "gone")
	s.DeleteSecret(testRegion, "never was")
	s.CreateEmpty(testRegion, "empty")
	s.PutSecret("us-east-1", "elsewhere", "v")

	var missing *types.ResourceNotFoundException
	for id, message := range map[string]string{
		"absent":    "Secrets Manager can't find the specified secret.",
		"elsewhere": "Secrets Manager can't find the specified secret.",
		"empty":     "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
	} {
		_, err := get(t, c, id)
		require.ErrorAs(t, err, &missing, id)
		assert.Equal(t, message, missing.ErrorMessage())
	}
	var deleted *types.InvalidRequestException
	_, err := get(t, c, "gone")
	require.ErrorAs(t, err, &deleted)
	assert.Equal(t,
		"You can't perform this operation on the secret because it was marked for deletion.",
		deleted.ErrorMessage())
	s.RestoreSecret(testRegion, "gone")
	assert.Equal(t, "v", mustGet(t, c, "gone"))

	s.PutSecret(testRegion, "empty", "filled")
	s.CreateEmpty(testRegion, "empty") // does not change the value
	assert.Equal(t, "filled", mustGet(t, c, "empty"))
}

func TestGetSecretValue_ARN(t *testing.T) {
	s := start(t)
	c := client(t)
	arn := s.PutSecret(testRegion, "app/db", "v")
	partial := arn[:len(arn)-7]
	trap := s.PutSecret(testRegion, "legacy-abc123", "trapped")
	other := s.PutSecret("us-east-1", "app/db", "other region")

	for _, id := range []string{"app/db", arn, partial} {
		assert.Equal(t, "v", mustGet(t, c, id), id)
	}
	for _, id := range []string{"legacy-abc123", trap} {
		assert.Equal(t, "trapped", mustGet(t, c, id), id)
	}
	for name, id := range map[string]string{
		"name with the random suffix":                "app/db" + arn[len(arn)-7:],
		"wrong suffix":                               partial + "-ZZZZZZ",
		"partial ARN of a name that looks complete":  trap[:len(trap)-7],
		"ARN of another region":                      other,
		"partial ARN of another region":              other[:len(other)-7],
		"ARN of this region, secret only in another": strings.Replace(other, "us-east-1", testRegion, 1),
		"other partition":                            strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1),
		"partial name":                               "app",
		"other letter case":                          "APP/DB",
	} {
		var missing *types.ResourceNotFoundException
		_, err := get(t, c, id)
		assert.ErrorAs(t, err, &missing, name)
	}
	_, err := get(t, c, strings.Replace(arn, Account, "210987654321", 1))
	assertCode(t, err, "AccessDeniedException")
	assert.ErrorContains(t, err, "no resource-based policy")
}

func TestGetSecretValue_invalidInput(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	c := client(t)
	for _, id := range []string{
		"", "two words", "wild*", "db:password", "arn:aws:secretsmanager:eu-west-1:123456789012:secret",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db:password::",
		"arn:aws:ssm:eu-west-1:123456789012:secret:db",
		strings.Repeat("n", 2049),
	} {
		_, err := get(t, c, id)
		assertCode(t, err, "ValidationException")
	}
	for _, in := range []secretsmanager.GetSecretValueInput{
		{SecretId: aws.String("db"), VersionId: aws.String("short")},
		{SecretId: aws.String("db"), VersionId: aws.String(strings.Repeat("v", 65))},
		{SecretId: aws.String("db"), VersionStage: aws.String("")},
		{SecretId: aws.String("db"), VersionStage: aws.String(strings.Repeat("s", 257))},
	} {
		_, err := c.GetSecretValue(t.Context(), &in)
		assertCode(t, err, "ValidationException")
	}
}

func TestDeny_missingSecret(t *testing.T) {
	s := start(t)
	c := client(t)
	arn := s.PutSecret(testRegion, "db", "v")
	s.PutSecret(testRegion, "mail", "m")
	s.Deny("secretsmanager:GetSecretValue", "db")
	s.Deny("secretsmanager:GetSecretValue", "absent")
	for _, id := range []string{"db", arn, arn[:len(arn)-7], "absent",
		arnPrefix(testRegion) + "absent-AbCdEf"} {
		_, err := get(t, c, id)
		assertCode(t, err, "AccessDeniedException")
		assert.ErrorContains(t, err,
			"User: arn:aws:iam::123456789012:user/secretref is not authorized to perform: "+
				"secretsmanager:GetSecretValue on resource: "+id+
				" because no identity-based policy allows the secretsmanager:GetSecretValue action")
	}
	assert.Equal(t, "m", mustGet(t, c, "mail"))
	s.Allow("secretsmanager:GetSecretValue", "db")
	assert.Equal(t, "v", mustGet(t, c, "db"))

	s.Deny("secretsmanager:GetSecretValue", "*")
	_, err := get(t, c, "mail")
	assertCode(t, err, "AccessDeniedException")
	s.Allow("secretsmanager:GetSecretValue", "*")
	assert.Equal(t, "m", mustGet(t, c, "mail"))
}

func TestDeny_KMS(t *testing.T) {
	s := start(t)
	c := client(t)
	s.PutSecret(testRegion, "db", "v")
	s.PutSecret(testRegion, "mail", "m")
	s.Deny("kms:Decrypt", "db")
	_, err := get(t, c, "db")
	assertCode(t, err, "AccessDeniedException")
	assert.ErrorContains(t, err, "Access to KMS is not allowed")
	assert.Equal(t, "m", mustGet(t, c, "mail"))
	s.Allow("kms:Decrypt", "db")
	assert.Equal(t, "v", mustGet(t, c, "db"))
}

// assertCode checks the error code of the response.
func assertCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if assert.ErrorAs(t, err, &api) {
		assert.Equal(t, code, api.ErrorCode(), api.ErrorMessage())
	}
}

// In the JSON 1.1 protocol, the member names of inputs are case-sensitive.
func TestGetSecretValue_memberNames(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	call := func(operation, body string) string {
		_, text := do(t,
			signedCall(t, s.URL(), "secretsmanager", "application/x-amz-json-1.1", operation, body))
		return text
	}
	for body, want := range map[string]string{
		`{"secretId":"db"}`:                                "ValidationException",
		`{"SECRETID":"db"}`:                                "ValidationException",
		`{"SecretID":"db"}`:                                "ValidationException",
		`{"SecretId":"db","versionstage":"none"}`:          `"SecretString":"v"`,
		`{"secretId":1,"SecretId":"db"}`:                   `"SecretString":"v"`,
		`{"SecretId":1}`:                                   "SerializationException",
		`["db"]`:                                           "SerializationException",
		`{"SecretId":"db","VersionStage":"AWSCURRENT"}`:    `"SecretString":"v"`,
		`{"SecretId":"none","secretId":"db","SecretID":1}`: "ResourceNotFoundException",
	} {
		assert.Contains(t, call("GetSecretValue", body), want, body)
	}
	assert.Contains(t, call("BatchGetSecretValue", `{"secretIdList":["db"]}`),
		"InvalidParameterException")
	assert.Contains(t,
		call("BatchGetSecretValue", `{"SecretIdList":["db"],"maxResults":1,"filters":[1]}`),
		`"SecretString":"v"`)

	s.ResetCalls()
	call("GetSecretValue", `{"secretId":"wrong","SecretId":"db"}`)
	assert.Equal(t, []string{"db"}, s.Requests()[0].SecretIDs)
}
