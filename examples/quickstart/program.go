package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/seed74218947/secretref"
)

// value resolves one value, as a service does with an environment variable.
func value(ctx context.Context, s *stage, w io.Writer) error {
	reference := `{ENC}{"region":"ap-southeast-2","secretId":"demo/jira","secretPointer":"/password"}`

	resolver := secretref.New(nil)
	defer resolver.Close()
	password, err := resolver.Resolve(ctx, reference)
	if err != nil {
		return err
	}

	fmt.Fprintf(w, "    resolver := secretref.New(nil)\n    defer resolver.Close()\n    "+
		"password, err := resolver.Resolve(ctx, reference)\n\n")
	fmt.Fprintf(w, "password prints as %v; password.Reveal() is %q.\n", password, password.Reveal())
	return equal(password, jiraPassword)
}

// structure resolves all secrets of a configuration struct at once.
func structure(ctx context.Context, s *stage, w io.Writer) error {
	var config struct {
		Mail struct {
			User     string
			Password secretref.Secret
		}
		Search string `secretref:"resolve"`
	}
	file := `{
	"mail":   {"user": "demo", "password": "{\"mount\":\"secret\",\"path\":\"demo/mail\",\"key\":\"password\",\"endpoint\":\"` + s.vault.URL + `\"}"},
	"search": "{ENC}{\"mount\":\"secret\",\"path\":\"demo/search\",\"key\":\"password\",\"endpoint\":\"` + s.vault.URL + `\"}"
}`
	if err := json.Unmarshal([]byte(file), &config); err != nil {
		return err
	}
	resolver := secretref.New(nil)
	defer resolver.Close()
	if err := resolver.ResolveStruct(ctx, &config); err != nil {
		return err
	}
	fmt.Fprintf(w, "After ResolveStruct(ctx, &config):\n")
	fmt.Fprintf(w, "    config.Mail is %+v, its password %q\n", config.Mail,
		config.Mail.Password.Reveal())
	fmt.Fprintf(w, "    config.Search, a string with a tag, is %q\n", config.Search)
	return errors.Join(equal(config.Mail.Password, mailPassword),
		equal(secretref.NewSecret(config.Search), searchPassword))
}

// mistake shows the errors for wrong references.
func mistake(ctx context.Context, _ *stage, w io.Writer) error {
	resolver := secretref.New(nil)
	defer resolver.Close()
	for _, wrong := range []struct {
		reference string
		want      error
	}{
		{`{"region":"ap-southeast-2","secretID":"demo/jira","secretPointer":"/password"}`,
			secretref.ErrSyntax},
		{`{"region":"ap-southeast-2","secretId":"demo/jira","secretPointer":"/pasword"}`,
			secretref.ErrPointer},
	} {
		_, err := resolver.Resolve(ctx, wrong.reference)
		if !errors.Is(err, wrong.want) {
			return fmt.Errorf("a wrong reference returned %v instead of %q", err, wrong.want)
		}
		fmt.Fprintf(w, "%s\n    %v\n", wrong.reference, err)
	}
	return nil
}
