package rotate

// Paged returns a Rotator that moves n records per transaction.
func (r Rotator) Paged(n int) *Rotator {
	r.pageRecords = n
	return &r
}
