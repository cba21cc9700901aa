// Command secretref resolves its arguments with this library.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/seed74218947/secretref"
)

func main() {
	r := secretref.New(nil)
	for _, value := range os.Args[1:] {
		s, err := r.Resolve(context.Background(), value)
		fmt.Println(s.Reveal(), err)
	}
}
