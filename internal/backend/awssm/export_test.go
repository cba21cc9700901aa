package awssm

import "time"

// SetMetadataTimeout replaces the timeout of a request to the instance metadata
// service, so that tests of a service that hangs are fast.
func (b *Backend) SetMetadataTimeout(d time.Duration) { b.metadataTimeout = d }
