package keys

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1d": 24 * time.Hour, "36h": 36 * time.Hour,
		"1h30m": 90 * time.Minute, "106751d": 106751 * 24 * time.Hour,
	} {
		var got time.Duration
		require.NoError(t, parseAge(&got)(text), text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "d", "0d", "-1d", "1.5d", "106752d", "99999999999999999999d",
		"1d12h", "90", "0s", "-1h", "soon"} {
		var got time.Duration
		assert.Error(t, parseAge(&got)(text), text)
		assert.Zero(t, got)
	}
}

func TestInterruptedError_beforeRotation(t *testing.T) {
	assert.EqualError(t, interruptedError(secretref.Rotation{}), "interrupted; nothing was changed")
}

func TestPrintBlocked(t *testing.T) {
	var errs strings.Builder
	c := &call{streams: ui.Streams{Err: &errs}}
	c.printBlocked([]string{"a", "b\n", "c"}, errors.New(`blocked: "a"`))
	assert.Equal(t, "secretref: cannot decrypt the secret \"b\\n\"\nsecretref: cannot decrypt "+
		"the secret \"c\"\n", errs.String())
}

func TestFormatAge(t *testing.T) {
	const day = 24 * time.Hour
	assert.Equal(t, "less than a day", formatAge(day-1))
	assert.Equal(t, "1 day", formatAge(day))
	assert.Equal(t, "12 days", formatAge(12*day+time.Hour))
}
