// Command awssdk gets its arguments from AWS Secrets Manager with the SDK alone.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func main() {
	ctx := context.Background()
	for _, id := range os.Args[1:] {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			fmt.Println(err)
			continue
		}
		out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx,
			&secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(aws.ToString(out.SecretString))
	}
}
