package batch

import (
	"context"
	"sync"
)

// Party is callers who are on their way together: a call that has one of them
// goes out as soon as none of them can come any more.
type Party struct {
	mu   sync.Mutex
	away int // seats that nobody has left
	then []func()
}

// Seat is the place of one caller of a Party. A nil Seat is that of a caller
// who comes alone.
type Seat struct {
	party *Party
	left  bool // guarded by Party.mu
}

// Seat makes a place for one more, who is waited for until it is left.
func (p *Party) Seat() *Seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away++
	return &Seat{party: p}
}

// Leave says that whoever has the seat is there, or will not come. It may be
// called more than once.
func (s *Seat) Leave() {
	if s == nil {
		return
	}
	for _, f := range s.leave() {
		f()
	}
}

// leave returns what has to be done now that all are there.
func (s *Seat) leave() (then []func()) {
	p := s.party
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.left {
		return nil
	}
	s.left = true
	if p.away--; p.away > 0 {
		return nil
	}
	then, p.then = p.then, nil
	return then
}

// of returns the party that waits for the seat to be left, if one does.
func (s *Seat) of() *Party {
	if s == nil {
		return nil
	}
	s.party.mu.Lock()
	defer s.party.mu.Unlock()
	if s.left {
		return nil
	}
	return s.party
}

// whenHere calls f once all seats are left, unless they are already.
func (p *Party) whenHere(f func()) (waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away == 0 {
		return false
	}
	p.then = append(p.then, f)
	return true
}

// waits reports whether some of them are away.
func (p *Party) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away > 0
}

type seatKey struct{}

// WithSeat returns a context whose caller of [Batcher.Do] has a seat.
func WithSeat(ctx context.Context, s *Seat) context.Context {
	return context.WithValue(ctx, seatKey{}, s)
}

func seatOf(ctx context.Context) *Seat {
	s, _ := ctx.Value(seatKey{}).(*Seat)
	return s
}
