// Command secretref-parse only looks at references and resolves nothing.
package main

import (
	"fmt"
	"os"

	"github.com/seed74218947/secretref"
)

func main() {
	for _, value := range os.Args[1:] {
		fmt.Println(secretref.Parse(value))
	}
}
