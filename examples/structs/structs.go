// Package structs shows a program's configuration with secrets in it, from a
// YAML file and from the environment.
//
// A field of type [secretref.Secret] takes a reference or, to try things out, a
// password. Decoders put the text in, ResolveStruct puts the secret in its
// place, and until then Reveal panics: a reference never goes to a database as
// its password.
package structs

import (
	"context"
	"os"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v4"

	"github.com/seed74218947/secretref"
)

// A Config is what the program needs to know.
type Config struct {
	Listen   string                      `yaml:"listen"`
	Database Database                    `yaml:"database"`
	Replicas []Database                  `yaml:"replicas"`
	Mail     *Mail                       `yaml:"mail"` // nil: no mail is sent
	Tokens   map[string]secretref.Secret `yaml:"tokens"`

	// License goes to a library that wants a string, so that its text can be
	// printed: Secret is the better type wherever it fits.
	License string `yaml:"license" secretref:"resolve,optional"`
}

// Database is one of the servers.
type Database struct {
	URL      string           `yaml:"url" env:"URL,required"`
	Password secretref.Secret `yaml:"password" env:"PASSWORD,required"`
}

// Mail is how to send mail.
type Mail struct {
	Host     string            `yaml:"host" env:"HOST"`
	Password *secretref.Secret `yaml:"password" env:"PASSWORD"` // nil: the host wants none
}

// FromYAML reads a file. In YAML a reference stands in single quotes, or as a
// block behind ">-"; without them it is a mapping, which the decoder refuses.
// (Version 3 of this decoder leaves an empty Secret instead.)
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

// Environment is what the variables of a container say.
type Environment struct {
	Listen   string           `env:"LISTEN" envDefault:":8080"`
	Database Database         `envPrefix:"DATABASE_"`
	Mail     *Mail            `envPrefix:"MAIL_" env:",init"`
	Admin    secretref.Secret `env:"ADMIN_PASSWORD,file" secretref:"optional"` // the file that the variable names has it

	// References have commas in them, so that a list needs another separator.
	Tokens []secretref.Secret `env:"TOKENS" envSeparator:";"`
}

// FromEnvironment reads the variables.
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
