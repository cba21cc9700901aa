package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// The version of the tables that this package makes and uses.
const version = 1

func checkVersion(stored int) error {
	switch {
	case stored > version:
		return fault.New(fault.Unsupported, "the secretref_ tables have version %d, and this program knows %d: a newer one made them", stored, version)
	case stored < version:
		return fault.New(fault.Corrupt, "the secretref_ tables have version %d, which there never was", stored)
	}
	return nil
}

// version returns store.ErrEmpty if the tables are not there, or were not
// made to the end.
func (q session) version(ctx context.Context) error {
	var stored int
	err := q.row(ctx, `SELECT version FROM secretref_meta WHERE id = 1`).Scan(&stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrEmpty
	case err != nil:
		return err
	}
	return checkVersion(stored)
}

// prepare makes the tables unless they are there. Whoever may not make tables
// is only refused if it has to.
func (s *Store) prepare(ctx context.Context) error {
	err := s.do(ctx, func(q session) error { return q.version(ctx) })
	if !errors.Is(err, store.ErrEmpty) {
		return err
	}
	create := func(q session) error {
		for _, statement := range s.dialect.schema {
			if _, err := q.exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	if s.dialect.atomic {
		err = s.within(ctx, create)
	} else {
		err = s.do(ctx, create)
	}
	if err != nil {
		return err
	}
	return s.do(ctx, func(q session) error {
		if q.foreign != "" {
			var foreign int
			if err := q.row(ctx, q.foreign).Scan(&foreign); err != nil {
				return err
			}
			if foreign > 0 {
				return fault.New(fault.Unsupported, "the database has not made the secretref_ tables with the engine InnoDB, without which it takes nothing back: is InnoDB switched off, or enforce_storage_engine set?")
			}
		}
		return q.version(ctx)
	})
}
