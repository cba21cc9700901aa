package cipher

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnpad checks the padding alone; the stream reader would refuse most of these,
// too.
func TestUnpad(t *testing.T) {
	for plain, want := range map[string]int{
		"1234567\x01":                          7,
		"123456\x02\x02":                       6,
		strings.Repeat("\x08", 8):              0,
		"12345678" + strings.Repeat("\x08", 8): 8,
		"1234567\x00":                          -1,
		"1234567\x09":                          -1,
		"12345678901234\x01\x02":               -1,
		"1\x02\x07\x07\x07\x07\x07\x07":        -1,
		strings.Repeat("\x09", 16):             -1,
		"1234567\xff":                          -1,
	} {
		got, ok := unpad([]byte(plain), 8)
		require.Equal(t, want >= 0, ok, "%x", plain)
		if ok {
			require.Equal(t, plain[:want], string(got))
		}
	}
}
