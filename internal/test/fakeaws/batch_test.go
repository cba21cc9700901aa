package fakeaws

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func batch(t *testing.T, c *secretsmanager.Client,
	ids ...string) (*secretsmanager.BatchGetSecretValueOutput, error) {
	return c.BatchGetSecretValue(t.Context(),
		&secretsmanager.BatchGetSecretValueInput{SecretIdList: ids})
}

func TestBatch(t *testing.T) {
	s := start(t)
	arn := s.PutSecret(testRegion, "db", "v")
	s.PutBinary(testRegion, "keystore", []byte{1, 2})
	s.PutSecret(testRegion, "gone", "g")
	s.DeleteSecret(testRegion, "gone")
	s.CreateEmpty(testRegion, "empty")
	s.PutSecret(testRegion, "denied", "d")
	s.Deny("secretsmanager:GetSecretValue", "denied")
	s.PutSecret(testRegion, "kms", "k")
	s.Deny("kms:Decrypt", "kms")

	ids := []string{arn, "absent", "keystore", "gone", "empty", "denied", "kms"}
	out, err := batch(t, client(t), ids...)
	require.NoError(t, err)
	assert.Nil(t, out.NextToken)
	require.Len(t, out.SecretValues, 2)
	first := out.SecretValues[0]
	assert.Equal(t, arn, *first.ARN)
	assert.Equal(t, "db", *first.Name)
	assert.Equal(t, "v", *first.SecretString)
	assert.Nil(t, first.SecretBinary)
	assert.Equal(t, []string{"AWSCURRENT"}, first.VersionStages)
	assert.NotEmpty(t, *first.VersionId)
	assert.False(t, first.CreatedDate.IsZero())
	assert.Equal(t, []byte{1, 2}, out.SecretValues[1].SecretBinary)

	codes := map[string]string{}
	for _, e := range out.Errors {
		assert.NotEmpty(t, *e.Message)
		codes[*e.SecretId] = *e.ErrorCode
	}
	assert.Equal(t, map[string]string{
		"absent": "ResourceNotFoundException",
		"gone":   "InvalidRequestException",
		"empty":  "ResourceNotFoundException",
		"denied": "AccessDeniedException",
		"kms":    "AccessDeniedException",
	}, codes)

	require.Equal(t, 1, s.Calls())
	assert.Equal(t, "BatchGetSecretValue", s.Requests()[0].Action)
	assert.Equal(t, ids, s.Requests()[0].SecretIDs)
}

func TestBatch_permission(t *testing.T) {
	s := start(t)
	c := client(t)
	s.PutSecret(testRegion, "db", "v")
	s.Deny("secretsmanager:BatchGetSecretValue", "*")
	_, err := batch(t, c, "db")
	assertCode(t, err, "AccessDeniedException")
	assert.ErrorContains(t, err,
		"is not authorized to perform: secretsmanager:BatchGetSecretValue because no identity-based policy")
	assert.Equal(t, "v", mustGet(t, c, "db"), "single reads are another action")
	s.Allow("secretsmanager:BatchGetSecretValue", "*")
	_, err = batch(t, c, "db")
	require.NoError(t, err)
}

func TestBatch_limits(t *testing.T) {
	s := start(t)
	c := client(t)
	var ids []string
	for i := range 21 {
		ids = append(ids, fmt.Sprintf("s%d", i))
		s.PutSecret(testRegion, ids[i], "v")
	}
	out, err := batch(t, c, ids[:20]...)
	require.NoError(t, err)
	assert.Len(t, out.SecretValues, 20)
	assert.Empty(t, out.Errors)

	_, err = batch(t, c, ids...)
	assertCode(t, err, "ValidationException")
	assert.ErrorContains(t, err, "Member must have length less than or equal to 20")
	_, err = batch(t, c, "s1", "")
	assertCode(t, err, "ValidationException")

	var invalid *types.InvalidParameterException
	filters := []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{"s"}}}
	for _, in := range []secretsmanager.BatchGetSecretValueInput{
		{},
		{SecretIdList: ids[:1], Filters: filters},
		{Filters: filters},
		{SecretIdList: ids[:1], MaxResults: aws.Int32(3)},
	} {
		_, err = c.BatchGetSecretValue(t.Context(), &in)
		assert.ErrorAs(t, err, &invalid)
	}
	var token *types.InvalidNextTokenException
	_, err = c.BatchGetSecretValue(t.Context(),
		&secretsmanager.BatchGetSecretValueInput{SecretIdList: ids[:1], NextToken: aws.String("t")})
	assert.ErrorAs(t, err, &token)
}
