package azurekeyvault_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/azurekeyvault"
)

// The example is compiled but not run, since it would call Azure.
func Example() {
	resolver := secretref.New(&secretref.Options{
		// configured by AZURE_… variables
		Providers: []secretref.Provider{azurekeyvault.Provider(azurekeyvault.Options{})},
	})
	defer resolver.Close()

	config, err := secretref.ReadConfig("/var/atlassian/application-data/jira")
	if err != nil {
		log.Fatal(err)
	}
	settings, err := resolver.ResolveConfig(context.Background(), config)
	if refused, ok := errors.AsType[*azurekeyvault.Error](err); ok {
		log.Print(refused) // access denied: corp.vault.azure.net: 403 SecretDisabled
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(settings.Database.MaskedURL(), settings.Database.Username)

	// {ENC}{"vaultUri":…,"secretName":…}
	token, err := resolver.Resolve(context.Background(), os.Getenv("API_TOKEN"))
	fmt.Println(token, err)
}
