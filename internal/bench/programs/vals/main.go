// Command vals resolves its arguments with helmfile/vals.
package main

import (
	"fmt"
	"os"

	"github.com/helmfile/vals"
)

func main() {
	r, err := vals.New(vals.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, code := range os.Args[1:] {
		fmt.Println(r.Get(code))
	}
}
