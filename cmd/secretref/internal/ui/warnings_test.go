package ui

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNewWarningLogger(t *testing.T) {
	var b strings.Builder
	log := NewWarningLogger(&b)
	log.Info("left out")
	log.With("source", "value 1").WithGroup("g").Warn("careful", "reference", "", "line",
		slog.IntValue(3))
	log.Warn("bare")
	assert.Equal(t, "secretref: warning: careful (source value 1, line 3)\nsecretref: "+
		"warning: bare\n", b.String())
}
