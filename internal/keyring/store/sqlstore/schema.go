package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// schemaVersion is the version of the tables that this package creates and uses.
const schemaVersion = 1

func checkVersion(stored int) error {
	switch {
	case stored > schemaVersion:
		return fault.New(fault.Unsupported,
			"the secretref_ tables were made by a newer program: they have version %d, and this program "+
				"supports version %d", stored, schemaVersion)
	case stored < schemaVersion:
		return fault.New(fault.Corrupt,
			"the secretref_ tables have version %d, which does not exist", stored)
	}
	return nil
}

// checkVersion returns store.ErrEmpty if the tables do not exist or are incomplete.
func (s session) checkVersion(ctx context.Context) error {
	var stored int
	err := s.row(ctx, `SELECT version FROM secretref_meta WHERE id = 1`).Scan(&stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrEmpty
	case err != nil:
		return err
	}
	return checkVersion(stored)
}

// createTables creates the tables unless they exist. A user who may not create tables is
// refused only if they do not exist.
func (s *Store) createTables(ctx context.Context) error {
	err := s.autocommit(ctx, func(q session) error { return q.checkVersion(ctx) })
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
		err = s.inTx(ctx, create)
	} else {
		err = s.autocommit(ctx, create)
	}
	if err != nil {
		return err
	}
	return s.autocommit(ctx, func(q session) error {
		if q.nonTransactional != "" {
			var count int
			if err := q.row(ctx, q.nonTransactional).Scan(&count); err != nil {
				return err
			}
			if count > 0 {
				return fault.New(fault.Unsupported,
					"the database did not create the secretref_ tables with the engine InnoDB, without which "+
						"it has no transactions: "+
						"is InnoDB disabled, or enforce_storage_engine set?")
			}
		}
		return q.checkVersion(ctx)
	})
}
