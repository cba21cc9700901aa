// Command vaultapi gets its arguments from a Vault with vault/api alone.
package main

import (
	"context"
	"fmt"
	"os"

	vault "github.com/hashicorp/vault/api"
)

func main() {
	for _, path := range os.Args[1:] {
		c, err := vault.NewClient(nil)
		if err != nil {
			fmt.Println(err)
			continue
		}
		s, err := c.KVv2("secret").Get(context.Background(), path)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s.Data)
	}
}
