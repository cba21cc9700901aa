// Command setec gets its arguments with setec's store, from AWS Secrets Manager
// in place of a setec server.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

func main() {
	ctx := context.Background()
	s, err := setec.NewStore(ctx,
		setec.StoreConfig{Client: store{}, AllowLookup: true, PollInterval: -1,
			Logf: func(string, ...any) {}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range os.Args[1:] {
		secret, err := s.LookupSecret(ctx, name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(secret.GetString())
	}
}

// store implements setec.StoreClient.
type store struct{}

func (store) Get(ctx context.Context, name string) (*api.SecretValue, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx,
		&secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return nil, err
	}
	return &api.SecretValue{Value: []byte(aws.ToString(out.SecretString)), Version: 1}, nil
}

func (s store) GetIfChanged(ctx context.Context, name string,
	_ api.SecretVersion) (*api.SecretValue, error) {
	return s.Get(ctx, name)
}
