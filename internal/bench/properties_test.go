package bench

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	magiconair "github.com/magiconair/properties"

	"github.com/seed74218947/secretref/internal/atlassian/properties"
)

// BenchmarkProperties decodes a .properties file such as Bitbucket has.
func BenchmarkProperties(b *testing.B) {
	for _, lines := range []int{20, 1000} {
		file, want := propertiesFile(lines)
		for _, tool := range propertiesReaders {
			b.Run(fmt.Sprintf("%dlines/%s", lines, tool.name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(file)))
				for b.Loop() {
					got, err := tool.decode(file)
					if err != nil || len(got) != len(want) || got["jdbc.password"] != want["jdbc.password"] {
						b.Fatal(got, err)
					}
				}
			})
		}
	}
}

var propertiesReaders = []struct {
	name   string
	decode func([]byte) (map[string]string, error)
}{
	{"secretref", func(file []byte) (map[string]string, error) {
		pairs, err := properties.Parse(file)
		m := make(map[string]string, len(pairs))
		for _, p := range pairs {
			m[p.Key] = p.Value
		}
		return m, err
	}},
	{"magiconair", func(file []byte) (map[string]string, error) {
		l := magiconair.Loader{Encoding: magiconair.UTF8, DisableExpansion: true}
		p, err := l.LoadBytes(file)
		if err != nil {
			return nil, err
		}
		return p.Map(), nil
	}},
}

// propertiesFile returns a file with this number of lines and its properties.
func propertiesFile(lines int) ([]byte, map[string]string) {
	want := map[string]string{"jdbc.password": `{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`}
	var text strings.Builder
	for i := range lines - 1 {
		key := fmt.Sprintf("plugin.setting-%d", i)
		switch i % 4 {
		case 0:
			fmt.Fprintf(&text, "# what setting %d is for\n", i)
		case 1:
			fmt.Fprintf(&text, "%s = caf\\u00e9 \\t%d\n", key, i)
			want[key] = fmt.Sprintf("café \t%d", i)
		default:
			fmt.Fprintf(&text, "%s=https\\://example.com/%d\n", key, i)
			want[key] = fmt.Sprintf("https://example.com/%d", i)
		}
	}
	fmt.Fprintf(&text, "jdbc.password=%s\n", want["jdbc.password"])
	return []byte(text.String()), want
}

func TestPropertiesReaders(t *testing.T) {
	file, want := propertiesFile(1000)
	for _, tool := range propertiesReaders {
		got, err := tool.decode(file)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %q, want %q", tool.name, err, got, want)
		}
	}
}
