package main

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

//go:embed homes
var homes embed.FS

// inFiles is the Vault server that the files in homes name.
const inFiles = "https://vault.demo.example:8200"

// What is stored where.
const (
	jiraPassword       = "tugboat-lantern-7"
	confluencePassword = "quartz & <heron>"
	bitbucketPassword  = "ninety=nine: pears"
	searchPassword     = "maple_syrup\\42"
	mailPassword       = "copper \"kettle\""
	keyringPassword    = "willow | anvil"
	livePassword       = "winter plum"
	rotatedPassword    = "summer quince"
)

// stage is the world of the demo: two stores, the products' home directories
// and an environment that leads to the stores. There is one at a time, since
// the environment belongs to the process.
type stage struct {
	aws   *fakeaws.Server
	vault *fakevault.Server
	dir   string
	env   []string // as it was before
}

// open sets everything up; on an error nothing is left.
func open() (*stage, error) {
	s := &stage{aws: fakeaws.New(), vault: fakevault.New(), env: os.Environ()}
	s.store()
	if err := errors.Join(s.writeHomes(), s.setEnvironment()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) store() {
	const region = "ap-southeast-2"
	s.aws.PutSecret(region, "demo/jira", `{"username":"jiradbuser","password":"`+jiraPassword+`"}`)
	s.aws.PutSecret(region, "demo/bitbucket", bitbucketPassword)
	s.vault.Put("secret", "demo/confluence", map[string]any{"password": confluencePassword})
	s.vault.Put("secret", "demo/search", map[string]any{"password": searchPassword})
	s.vault.Put("secret", "demo/mail", map[string]any{"password": mailPassword})
}

// writeHomes writes the home directories, naming the Vault server that runs.
func (s *stage) writeHomes() (err error) {
	if s.dir, err = os.MkdirTemp("", "secretref-quickstart-"); err != nil {
		return err
	}
	return fs.WalkDir(homes, "homes", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := homes.ReadFile(name)
		if err != nil {
			return err
		}
		path := filepath.Join(s.dir, filepath.FromSlash(strings.TrimPrefix(name, "homes/")))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), inFiles, s.vault.URL())), 0o600)
	})
}

// home returns the home directory of a product.
func (s *stage) home(product string) string { return filepath.Join(s.dir, product) }

// setEnvironment replaces all that could lead to a real account by what leads
// to the stage.
func (s *stage) setEnvironment() error {
	for _, set := range s.env {
		name, _, _ := strings.Cut(set, "=")
		if mine(name) {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	const id, key = "AKIAQUICKSTART", "not-a-real-key"
	s.aws.AddKey(id, key, "")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":                id,
		"AWS_SECRET_ACCESS_KEY":            key,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.aws.URL(),
		"AWS_EC2_METADATA_DISABLED":        "true",
		"AWS_CONFIG_FILE":                  filepath.Join(s.dir, "no-config"),
		"AWS_SHARED_CREDENTIALS_FILE":      filepath.Join(s.dir, "no-credentials"),
		"SECRET_STORE_VAULT_TOKEN":         s.vault.RootToken(),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// mine reports whether a variable is about AWS or Vault.
func mine(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "SECRET_STORE_VAULT_")
}

// close takes everything down and puts the environment back.
func (s *stage) close() error {
	s.aws.Close()
	s.vault.Close()
	var errs []error
	for _, set := range os.Environ() {
		if name, _, _ := strings.Cut(set, "="); mine(name) {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	for _, set := range s.env {
		if name, value, _ := strings.Cut(set, "="); mine(name) {
			errs = append(errs, os.Setenv(name, value))
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
