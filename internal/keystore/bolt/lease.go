package bolt

import (
	"context"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

type lease struct {
	s    *Store
	lock *os.File
}

// Acquire implements keystore.Store.
func (s *Store) Acquire(ctx context.Context) (keystore.Lease, error) {
	if err := s.ended(ctx); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close()
		return nil, fault.New(fault.RotationInProgress, "somebody else holds %s.lock", s.path)
	}
	return &lease{s, f}, nil
}

func (l *lease) update(ctx context.Context, f func(*state) error) error {
	if err := l.s.ended(ctx); err != nil {
		return err
	}
	if l.lock == nil {
		return fault.New(fault.RotationInProgress, "the lease was given back")
	}
	return l.s.update(ctx, f)
}

func (l *lease) Renew(ctx context.Context) error {
	if err := l.s.ended(ctx); err != nil {
		return err
	}
	if l.lock == nil {
		return fault.New(fault.RotationInProgress, "the lease was given back")
	}
	return nil
}

func (l *lease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID, next keystore.Key, e keystore.Event) error {
	return l.update(ctx, func(st *state) error {
		keys, err := st.all()
		if err != nil {
			return err
		}
		old := keys.Active()
		if keys.Root != root || old == nil || old.ID != from || keys.Retiring() != nil ||
			slices.ContainsFunc(keys.Keys, func(k keystore.Key) bool { return k.ID == next.ID }) {
			return keystore.ErrChanged
		}
		old.State, old.Deactivated = keystore.Retiring, st.now
		next.State, next.Created, next.Activated = keystore.Active, st.now, st.now
		if err := st.putKey(*old); err != nil {
			return err
		}
		if err := st.putKey(next); err != nil {
			return err
		}
		_, err = st.record(e)
		return err
	})
}

func (l *lease) Move(ctx context.Context, from, to seal.KeyID, swaps []keystore.Swap) (moved int, err error) {
	err = l.update(ctx, func(st *state) error { moved, err = st.move(from, to, swaps); return err })
	return moved, err
}

func (l *lease) Retire(ctx context.Context, id seal.KeyID, e keystore.Event) error {
	return l.update(ctx, func(st *state) error {
		k, err := st.in(id, keystore.Retiring, keystore.ErrChanged)
		if err != nil {
			return err
		}
		if err := st.inUse(id); err != nil {
			return err
		}
		k.State = keystore.Inactive
		if err := st.putKey(*k); err != nil {
			return err
		}
		_, err = st.record(e)
		return err
	})
}

func (l *lease) Rewrap(ctx context.Context, from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte, e keystore.Event) error {
	return l.update(ctx, func(st *state) error {
		keys, err := st.all()
		if err != nil {
			return err
		}
		ids := map[seal.KeyID]bool{}
		for i := range keys.Keys {
			k := &keys.Keys[i]
			ids[k.ID] = true
			k.Wrapped = wrapped[k.ID]
		}
		if keys.Root != from || !maps.EqualFunc(ids, wrapped, func(bool, []byte) bool { return true }) {
			return keystore.ErrChanged
		}
		for _, k := range keys.Keys {
			if err := st.putKey(k); err != nil {
				return err
			}
		}
		if err := st.putRoot(to); err != nil {
			return err
		}
		_, err = st.record(e)
		return err
	})
}

func (l *lease) Release(context.Context) {
	if l.lock != nil {
		_ = l.lock.Close()
		l.lock = nil
	}
}
