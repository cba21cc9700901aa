package pages

// Root returns the page that the tree begins with.
func (b *Bucket) Root() uint64 { return b.root }
