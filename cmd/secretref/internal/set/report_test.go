package set

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBuildNote(t *testing.T) {
	assert.Equal(t, " (the file was written by build 9012)", buildNote(" 9012\n"))
	assert.Empty(t, buildNote("canary"))
	assert.Empty(t, buildNote(""))
}
