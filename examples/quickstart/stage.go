package main

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed homes
var homes embed.FS

// vaultInFiles is the address of Vault in the files of homes.
const vaultInFiles = "https://vault.demo.example:8200"

// The stored secrets.
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

// stage is what the demo runs on: two secret stores, the products' home directories
// and environment variables that point to the stores. Only one can exist at a time,
// since the environment belongs to the process.
type stage struct {
	aws   *awsServer
	vault *vaultServer
	dir   string
	env   []string // the original environment
}

// open sets everything up. After an error nothing remains.
func open() (*stage, error) {
	s := &stage{aws: startAWS(), vault: startVault(), env: os.Environ()}
	s.store()
	if err := errors.Join(s.writeHomes(), s.setEnvironment()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) store() {
	s.aws.put("demo/jira", `{"username":"jiradbuser","password":"`+jiraPassword+`"}`)
	s.aws.put("demo/bitbucket", bitbucketPassword)
	s.vault.put("demo/confluence", map[string]any{"password": confluencePassword})
	s.vault.put("demo/search", map[string]any{"password": searchPassword})
	s.vault.put("demo/mail", map[string]any{"password": mailPassword})
}

// writeHomes writes the home directories with the address of the running Vault server.
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
		return os.WriteFile(path,
			[]byte(strings.ReplaceAll(string(text), vaultInFiles, s.vault.URL)), 0o600)
	})
}

// home returns the home directory of a product.
func (s *stage) home(product string) string { return filepath.Join(s.dir, product) }

// setEnvironment replaces all variables that could point to a real account by those
// of the stage.
func (s *stage) setEnvironment() error {
	for _, set := range s.env {
		name, _, _ := strings.Cut(set, "=")
		if isOurs(name) {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":                "AKIAQUICKSTART",
		"AWS_SECRET_ACCESS_KEY":            "not-a-real-key",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.aws.URL,
		"AWS_EC2_METADATA_DISABLED":        "true",
		"AWS_CONFIG_FILE":                  filepath.Join(s.dir, "no-config"),
		"AWS_SHARED_CREDENTIALS_FILE":      filepath.Join(s.dir, "no-credentials"),
		"SECRET_STORE_VAULT_TOKEN":         vaultToken,
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// isOurs reports whether a variable configures AWS or Vault.
func isOurs(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "VAULT_") ||
		strings.HasPrefix(name, "SECRET_STORE_VAULT_")
}

// close stops the stores, deletes the files and restores the environment.
func (s *stage) close() error {
	s.aws.Close()
	s.vault.Close()
	var errs []error
	for _, set := range os.Environ() {
		if name, _, _ := strings.Cut(set, "="); isOurs(name) {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	for _, set := range s.env {
		if name, value, _ := strings.Cut(set, "="); isOurs(name) {
			errs = append(errs, os.Setenv(name, value))
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
