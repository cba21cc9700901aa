package edit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/product"
	"github.com/seed74218947/secretref/internal/xmltext"
)

// Which elements are entries is known to this package and to package product.
func TestElementsThatTheProductDoesNotReadAreNotChanged(t *testing.T) {
	const text = "<jira-database-config>\n<jdbc-datasource><password>a</password></jdbc-datasource></jira-database-config>"
	root, err := xmltext.Parse([]byte(text))
	require.NoError(t, err)
	read, err := product.Decode("dbconfig.xml", []byte(text))
	require.NoError(t, err)
	all, err := elements(read, root)
	require.NoError(t, err)
	assert.Len(t, all, len(read.Entries))
	for name, entry := range map[string]product.Entry{
		"another value": {Key: "jdbc-datasource/password", Value: "b", Line: 2},
		"another line":  {Key: "jdbc-datasource/password", Value: "a", Line: 1},
	} {
		_, err := elements(&product.File{Product: product.Jira, Entries: []product.Entry{entry}}, root)
		assert.ErrorIs(t, err, fault.Unsupported, name)
	}
	_, err = elements(&product.File{Product: product.Jira}, root)
	assert.ErrorIs(t, err, fault.Unsupported, "no entry")
}
