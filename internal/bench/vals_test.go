package bench

import (
	"context"
	"io"

	"github.com/helmfile/vals"
)

// valsRuntime uses helmfile/vals, which caches secrets.
type valsRuntime struct{ *vals.Runtime }

var valsPeer = contender{"vals", func(*world) (client, error) {
	r, err := vals.New(vals.Options{LogOutput: io.Discard, FailOnMissingKeyInMap: true})
	return valsRuntime{r}, err
}}

func (v valsRuntime) get(_ context.Context, r reference) (string, error) { return v.Get(r.vals()) }

func (valsRuntime) close() {}
