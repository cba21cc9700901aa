package edit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
	"github.com/seed74218947/secretref/internal/fault"
)

// Which elements are entries is known to this package and to package product.
func TestElementsThatTheProductDoesNotReadAreNotChanged(t *testing.T) {
	const text = "<jira-database-config>\n<jdbc-datasource><password>a</password></jdbc-datasource></jira-database-config>"
	root, err := xmltext.Parse([]byte(text))
	require.NoError(t, err)
	read, err := atlassian.Decode("dbconfig.xml", []byte(text))
	require.NoError(t, err)
	all, err := elements(read, root)
	require.NoError(t, err)
	assert.Len(t, all, len(read.Entries))
	for name, entry := range map[string]atlassian.Entry{
		"another value": {Key: "jdbc-datasource/password", Value: "b", Line: 2},
		"another line":  {Key: "jdbc-datasource/password", Value: "a", Line: 1},
	} {
		_, err := elements(&atlassian.File{Product: atlassian.Jira, Entries: []atlassian.Entry{entry}}, root)
		assert.ErrorIs(t, err, fault.Unsupported, name)
	}
	_, err = elements(&atlassian.File{Product: atlassian.Jira}, root)
	assert.ErrorIs(t, err, fault.Unsupported, "no entry")
}
