// Package structs shows a program's configuration with secrets, read from a YAML file
// and from the environment.
//
// A field of type [secretref.Secret] takes a reference or, for experiments, a password.
// Decoders store the text, and ResolveStruct replaces it by the secret. Until then
// Reveal panics, so that a reference is never sent to a database as its password.
package structs

import (
	"context"
	"os"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v4"

	"github.com/seed74218947/secretref"
)

// A Config is the configuration of the program.
type Config struct {
	Listen   string                      `yaml:"listen"`
	Database Database                    `yaml:"database"`
	Replicas []Database                  `yaml:"replicas"`
	Mail     *Mail                       `yaml:"mail"` // if nil, no mail is sent
	Tokens   map[string]secretref.Secret `yaml:"tokens"`

	// License is passed to a library as a string, so nothing prevents it from being
	// printed. Use Secret wherever possible.
	License string `yaml:"license" secretref:"resolve,optional"`
}

// Database is one of the servers.
type Database struct {
	URL      string           `yaml:"url" env:"URL,required"`
	Password secretref.Secret `yaml:"password" env:"PASSWORD,required"`
}

// Mail is the configuration of the mail server.
type Mail struct {
	Host     string            `yaml:"host" env:"HOST"`
	Password *secretref.Secret `yaml:"password" env:"PASSWORD"` // nil if the host needs none
}

// FromYAML reads a file. In YAML, write a reference in single quotes or as a block
// after ">-"; otherwise it is a mapping, which the decoder refuses. (Version 3 of this
// decoder silently leaves the Secret empty instead.)
func FromYAML(ctx context.Context, r *secretref.Resolver, path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c Config
	if err := yaml.Load(text, &c, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	if err := r.ResolveStruct(ctx, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// Environment is the configuration in the variables of a container.
type Environment struct {
	Listen   string   `env:"LISTEN" envDefault:":8080"`
	Database Database `envPrefix:"DATABASE_"`
	Mail     *Mail    `envPrefix:"MAIL_" env:",init"`
	// the variable names a file
	Admin secretref.Secret `env:"ADMIN_PASSWORD,file" secretref:"optional"`

	// References contain commas, so a list needs another separator.
	Tokens []secretref.Secret `env:"TOKENS" envSeparator:";"`
}

// FromEnvironment reads the environment variables.
func FromEnvironment(ctx context.Context, r *secretref.Resolver) (*Environment, error) {
	e, err := env.ParseAs[Environment]()
	if err != nil {
		return nil, err
	}
	if err := r.ResolveStruct(ctx, &e); err != nil {
		return nil, err
	}
	return &e, nil
}
