package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	vaultapi "github.com/hashicorp/vault/api"
)

// bare uses the vendors' clients without a library, with one call per reference.
type bare struct {
	mu     sync.Mutex
	config *aws.Config // nil until it is loaded
	aws    map[string]*secretsmanager.Client
	vault  map[string]*vaultapi.Client
}

func newBare() *bare {
	return &bare{aws: map[string]*secretsmanager.Client{}, vault: map[string]*vaultapi.Client{}}
}

var bareClients = contender{"bare", func(*world) (client, error) { return newBare(), nil }}

func (c *bare) get(ctx context.Context, r reference) (string, error) {
	members, err := c.members(ctx, r)
	if err != nil {
		return "", err
	}
	return member(members, r.key)
}

func (c *bare) close() {}

// members fetches a secret and decodes all of it.
func (c *bare) members(ctx context.Context, r reference) (map[string]any, error) {
	if r.region == "" {
		v, err := c.vaultClient(r.url)
		if err != nil {
			return nil, err
		}
		s, err := v.KVv2(mount).Get(ctx, r.secret)
		if err != nil {
			return nil, err
		}
		return s.Data, nil
	}
	text, err := c.text(ctx, r)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	return members, json.Unmarshal(text, &members)
}

// text fetches a secret in AWS, which is a JSON document.
func (c *bare) text(ctx context.Context, r reference) ([]byte, error) {
	a, err := c.awsClient(ctx, r.region)
	if err != nil {
		return nil, err
	}
	out, err := a.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &r.secret})
	if err != nil {
		return nil, err
	}
	return []byte(aws.ToString(out.SecretString)), nil
}

func (c *bare) awsClient(ctx context.Context, region string) (*secretsmanager.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config == nil {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, err
		}
		c.config = &cfg
	}
	if c.aws[region] == nil {
		c.aws[region] = secretsmanager.NewFromConfig(*c.config,
			func(o *secretsmanager.Options) { o.Region = region })
	}
	return c.aws[region], nil
}

func (c *bare) vaultClient(url string) (*vaultapi.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.vault[url] == nil {
		cfg := vaultapi.DefaultConfig() // reads the token from the environment
		cfg.Address = url
		v, err := vaultapi.NewClient(cfg)
		if err != nil {
			return nil, err
		}
		c.vault[url] = v
	}
	return c.vault[url], nil
}

func member(members map[string]any, key string) (string, error) {
	s, ok := members[key].(string)
	if !ok {
		return "", fmt.Errorf("%q is missing or not a string", key)
	}
	return s, nil
}
