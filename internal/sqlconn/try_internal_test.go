package sqlconn

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

type stateError struct{ state, message string }

func (s *stateError) Error() string {
	return "FATAL: " + s.message + " (SQLSTATE " + s.state +
		")"
}
func (s *stateError) SQLState() string { return s.state }

func TestNotAuthorized(t *testing.T) {
	pooler := &stateError{"08P01", "SASL authentication failed"}
	for _, err := range []error{pooler,
		fmt.Errorf("connect: %w", errors.Join(errors.New("other host"), pooler)),
		&stateError{"28P01", "x"}} {
		require.True(t, notAuthorized(err), "%v", err)
	}
	for _, err := range []error{&stateError{"08P01", `database "x" does not exist`},
		errors.New("SASL authentication failed"), nil} {
		require.False(t, notAuthorized(err), "%v", err)
	}
}
