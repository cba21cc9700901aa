package rotate

// Paged returns a Rotator that moves n records in a transaction.
func (r Rotator) Paged(n int) *Rotator {
	r.page = n
	return &r
}
