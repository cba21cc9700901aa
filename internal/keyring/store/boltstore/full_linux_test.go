package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// A change for which there is no space is not made, and the file stays valid, wherever in
// the change the space runs out.
func TestFullDisk(t *testing.T) {
	s := filled(t, 100)
	c := start(t, "fill", s.path)
	require.Equal(t, "done", c.line(t))
	require.NoError(t, c.Wait())
	names, err := s.Names(t.Context(), "", 1000)
	require.NoError(t, err)
	require.Greater(t, len(names), 100)
}

// fill runs in a child process, since the limit applies to the process.
func fill(ctx context.Context, s *Store) error {
	limit := func(n uint64) error {
		l := unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &l)
	}
	failed := 0
	for round := range 40 {
		info, err := os.Stat(s.path)
		if err != nil {
			return err
		}
		before, err := s.Records(ctx, store.Range{Limit: 1000, Bytes: 1 << 30})
		if err != nil {
			return err
		}
		if err := limit(uint64(info.Size()) + uint64(round%5)*10_000); err != nil {
			return err
		}
		err = s.Put(ctx, 1, fmt.Sprint("long ", round), make([]byte, 30_000*(1+round%7)))
		if err := limit(unix.RLIM_INFINITY); err != nil {
			return err
		}
		if err == nil {
			continue
		}
		failed++
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "no space") {
			return fmt.Errorf("another error: %w", err)
		}
		for _, s := range []*Store{s, New(s.path)} {
			after, err := s.Records(ctx, store.Range{Limit: 1000, Bytes: 1 << 30})
			if err != nil {
				return err
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				return errors.New("the records have changed")
			}
		}
		if round%3 == 0 {
			if err := s.Put(ctx, 1, "short", []byte("record")); err != nil {
				return err
			}
		}
	}
	if failed < 5 {
		return fmt.Errorf("only %d changes failed", failed)
	}
	fmt.Println("done")
	return nil
}
