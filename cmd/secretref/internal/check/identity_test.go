package check

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDescribeCredentialSource(t *testing.T) {
	assert.Equal(t, "the shared files (SharedConfigCredentials: /home/a/.aws/credentials)",
		describeCredentialSource("SharedConfigCredentials: /home/a/.aws/credentials"))
	assert.Equal(t, "SomethingNew", describeCredentialSource("SomethingNew"))
}
