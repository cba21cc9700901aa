// Command gocloud gets its arguments from AWS Secrets Manager with gocloud's
// runtimevar.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"gocloud.dev/runtimevar"
	"gocloud.dev/runtimevar/awssecretsmanager"
)

func main() {
	ctx := context.Background()
	for _, name := range os.Args[1:] {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			fmt.Println(err)
			continue
		}
		v, err := awssecretsmanager.OpenVariable(secretsmanager.NewFromConfig(cfg), name,
			runtimevar.StringDecoder, nil)
		if err != nil {
			fmt.Println(err)
			continue
		}
		s, err := v.Latest(ctx)
		fmt.Println(s.Value, err)
	}
}
