// Command awssdk-vaultapi gets its arguments from AWS Secrets Manager, or else
// from a Vault, with the SDK and vault/api alone.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	vault "github.com/hashicorp/vault/api"
)

func main() {
	ctx := context.Background()
	for _, id := range os.Args[1:] {
		text, err := fromAWS(ctx, id)
		if err != nil {
			text, err = fromVault(ctx, id)
		}
		fmt.Println(text, err)
	}
}

func fromAWS(ctx context.Context, id string) (string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", err
	}
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx,
		&secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func fromVault(ctx context.Context, path string) (string, error) {
	c, err := vault.NewClient(nil)
	if err != nil {
		return "", err
	}
	s, err := c.KVv2("secret").Get(ctx, path)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(s.Data), nil
}
