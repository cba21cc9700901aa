package rotate_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// Each store call of a rotation fails in turn, either before or after it takes effect.
func TestRotator_failureAtAnyStoreCall(t *testing.T) {
	works := map[string]func(context.Context, *rotate.Rotator) error{
		"rotate": func(ctx context.Context, r *rotate.Rotator) error {
			_, err := r.Rotate(ctx)
			return err
		},
		"delete inactive": func(ctx context.Context, r *rotate.Rotator) error {
			_, err := r.DeleteInactive(ctx)
			return err
		},
		"change root key": func(ctx context.Context, r *rotate.Rotator) error {
			return r.ChangeRoot(ctx, seal.NewRootText())
		},
	}
	for name, work := range works {
		for _, when := range []string{"before", "after"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				step := 1
				if testing.Short() {
					step = 4
				}
				calls := map[string]bool{}
				for nth := 1; ; nth += step {
					p := newKeyringFile(t)
					f := newFaulty()
					r := p.keyring(f)
					s := p.fill(r, 7)
					_, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context()) // makes an inactive key
					require.NoError(t, err)
					n, failed := 0, ""
					inject := func(call string) error {
						if n++; n == nth {
							failed = call
							return errInjected
						}
						return nil
					}
					if when == "before" {
						f.before = inject
					} else {
						f.after = inject
					}
					err = work(t.Context(), rotate.Rotator{Keyring: r}.Paged(3))
					f.before, f.after = nil, nil
					if failed == "" {
						require.NoError(t, err)
						break
					}
					// after Rewrap, ChangeRoot finds out that it succeeded
					if failed != "Rewrap" || when == "before" {
						require.Error(t, err, "call %d, %s", nth, failed)
					}
					if failed == "Rewrap" {
						require.NoFileExists(t, p.path+".key.new", "ChangeRoot found out which root key is in use")
					}
					calls[failed] = true
					p.checkSecrets(r, s)
					p.checkIntact(s)
				}
				t.Log(calls)
				if name == "rotate" && !testing.Short() {
					assert.Subset(t, calls, map[string]bool{"Acquire": true, "Load": true, "Records": true,
						"Activate": true, "Move": true, "Retire": true})
				}
			})
		}
	}
}

// Between any two store calls of a rotation, another process stores a new secret or
// replaces one.
func TestRotate_putBetweenStoreCalls(t *testing.T) {
	for _, name := range []string{"new", "secret 0", "secret 5"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := 1
			if testing.Short() {
				step = 4
			}
			for nth, more := 1, true; more; nth += step {
				p := newKeyringFile(t)
				f := newFaulty()
				r := p.keyring(f)
				s := p.fill(r, 7)
				other := p.keyring(nil)
				n := 0
				f.before = func(string) error {
					if n++; n == nth {
						s[name] = fmt.Sprintf("put before call %d", nth)
						require.NoError(t, other.Put(t.Context(), name, []byte(s[name])))
					}
					return nil
				}
				_, err := rotate.Rotator{Keyring: r}.Paged(3).Rotate(t.Context())
				require.NoError(t, err)
				f.before = nil
				more = n >= nth
				p.checkSecrets(r, s)
				p.checkSecrets(other, s)
				p.checkIntact(s)
			}
		})
	}
}

func TestRotate_resumes(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 7)
	f.before = func(call string) error {
		if call == "Retire" {
			return errInjected
		}
		return nil
	}
	first, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	assert.Equal(t, 7, first.Moved)

	other := p.keyring(nil)
	second, rotated, err := (&rotate.Rotator{Keyring: other}).IfOlder(t.Context(), time.Hour)
	require.NoError(t, err)
	assert.True(t, rotated, "a rotation in progress is finished at any age")
	assert.Equal(t, first.From, second.From)
	assert.Equal(t, first.To, second.To)
	assert.Zero(t, second.Moved)
	assert.Equal(t, []string{" create done 1", " rotate started 2", " rotate failed 2",
		" rotate done 2"}, p.events(other))
	p.checkIntact(s)
}
