package keys

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref"
)

func TestEventLine_withoutActorAndKeys(t *testing.T) {
	e := secretref.AuditEvent{Time: time.Date(2026, 11, 21, 8, 0, 0, 5, time.FixedZone("", 3600)),
		Action: "rotate", Outcome: "refused", Detail: "two\nlines"}
	assert.Equal(t, `2026-11-21T07:00:00Z  rotate           refused  by -: "two\nlines"`,
		eventLine(e))
}
