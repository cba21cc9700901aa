package check

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDescribeMembers_limitsList(t *testing.T) {
	names := make([]string, 25)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	assert.Regexp(t, `^it has "n0", .*"n19" and 5 more$`, describeMembers("", names))
	assert.Equal(t, `at "/a" it has "n0"`, describeMembers("/a", names[:1]))
}
