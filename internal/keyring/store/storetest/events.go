package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

var eventTests = []test{
	{"an event is returned as recorded, with Seq and Time", func(t *testing.T, open Opener) {
		s := created(t, open)
		given := store.Event{
			Actor: "Zoë O'Hara <z@example.com>", Action: "rotate", Outcome: "failed",
			Keys: []seal.KeyID{key3, key1, key2}, Detail: strings.Repeat(`日本 "\'%s`+"\n\t", 50),
		}
		returned, err := s.RecordEvent(t.Context(), given)
		require.NoError(t, err)
		events := log(t, open(t))
		require.Len(t, events, 2)
		got := events[1]
		assert.Equal(t, returned.Seq, got.Seq)
		assert.True(t, returned.Time.Equal(got.Time), "%v, %v", returned.Time, got.Time)
		checkRecent(t, load(t, s).Now, got.Time)
		assert.Greater(t, got.Seq, events[0].Seq)
		assert.False(t, got.Time.Before(events[0].Time))

		for _, e := range []store.Event{returned, got} {
			given.Seq, given.Time = e.Seq, e.Time
			assert.Equal(t, given, e)
		}
	}},

	{"all fields of an event may be empty", func(t *testing.T, open Opener) {
		s := created(t, open)
		_, err := s.RecordEvent(t.Context(), store.Event{})
		require.NoError(t, err)
		e := log(t, s)[1]
		assert.Empty(t, e.Actor+e.Action+e.Outcome+e.Detail)
		assert.Empty(t, e.Keys)
		assert.False(t, e.Time.IsZero())
	}},

	{"Events returns pages in order", func(t *testing.T, open Opener) {
		s, other := created(t, open), open(t)
		want := []string{"create"}
		for i := range 11 {
			want = append(want, fmt.Sprint(i))
			_, err := []store.Store{s, other}[i%2].RecordEvent(t.Context(), event(fmt.Sprint(i)))
			require.NoError(t, err)
		}
		for _, limit := range []int{1, 5, 12, 100} {
			var got []string
			for after := int64(0); ; {
				page, err := s.Events(t.Context(), after, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), limit)
				if len(page) == 0 {
					break
				}
				for _, e := range page {
					require.Greater(t, e.Seq, after)
					after = e.Seq
					got = append(got, e.Action)
				}
			}
			assert.Equal(t, want, got)
		}
	}},

	{"concurrent events are all stored", func(t *testing.T, open Opener) {
		s := created(t, open)
		var wg sync.WaitGroup
		for w := range 4 {
			s := open(t)
			wg.Go(func() {
				for i := range 5 {
					_, err := s.RecordEvent(t.Context(), event(fmt.Sprint(w, i)))
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		seen := map[string]bool{}
		last := int64(0)
		for _, e := range log(t, s) {
			seen[e.Action] = true
			assert.Greater(t, e.Seq, last)
			last = e.Seq
		}
		assert.Len(t, seen, 21)
	}},
}

var contextTests = []test{
	{"calls do nothing after the context has ended", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range map[string]func() error{
			"Create": func() error {
				_, err := s.Create(ctx, root2, newKey(key3),
					event("x"))
				return err
			},
			"Load":     func() error { _, err := s.Load(ctx); return err },
			"Reserve":  func() error { return s.ReserveEncryptions(ctx, key2, 1) },
			"Get":      func() error { _, err := s.Get(ctx, "a"); return err },
			"Get none": func() error { _, err := s.Get(ctx, "b"); return err },
			"Put":      func() error { return s.Put(ctx, key2, "a", nil) },
			"Delete":   func() error { return s.Delete(ctx, "a") },
			"Names":    func() error { _, err := s.Names(ctx, "", 1); return err },
			"Records": func() error {
				_, err := s.Records(ctx,
					store.Range{Limit: 1, Bytes: 1})
				return err
			},
			"Count":          func() error { _, err := s.Count(ctx); return err },
			"DeleteInactive": func() error { _, err := s.DeleteInactive(ctx, event("x")); return err },
			"Record":         func() error { _, err := s.RecordEvent(ctx, event("x")); return err },
			"Events":         func() error { _, err := s.Events(ctx, 0, 1); return err },
			"Acquire":        func() error { _, err := open(t).Acquire(ctx); return err },
			"Renew":          func() error { return l.Renew(ctx) },
			"Activate":       func() error { return l.Activate(ctx, root1, key2, newKey(key3), event("x")) },
			"Move": func() error {
				_,
					err := l.Move(ctx, key1, key2, []store.Swap{swap("a")})
				return err
			},
			"Retire": func() error { return l.Retire(ctx, key1, event("x")) },
			"Rewrap": func() error { return l.Rewrap(ctx, root1, root2, nil, event("x")) },
		} {
			err := call()
			assert.ErrorIs(t, err, context.Canceled, name)
			assert.ErrorIs(t, err, fault.Unavailable, name)
		}
		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Retiring, key2: store.Active},
			states(t, s))
		assert.Zero(t, load(t, s).Active().Encryptions)
		checkStored(t, s, "a", recordUnder(key1, "a"))
		assert.Equal(t, []string{"create", "activate"}, actions(t, s))
	}},

	{"Create and Acquire do nothing after the context has ended", func(t *testing.T, open Opener) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Create(ctx, root1, newKey(key1), event("x"))
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Acquire(ctx)
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)
		acquire(t, s)
	}},
}
