// Package jdbcparse_test compares the data sources of internal/atlassian/jdbc with the
// results of the JDBC drivers' own URL parsers.
package jdbcparse_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// jars are the paths of the drivers in Debian's packages.
var jars = []string{"postgresql.jar", "mariadb-java-client.jar", "jtds.jar"}

const install = "apt-get install default-jdk-headless libpostgresql-jdbc-java libmariadb-java libjtds-java"

// java is the process of testdata/Parse.java.
type java struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startJava compiles and starts the program, and ends it with the test.
func startJava(t *testing.T) *java {
	t.Helper()
	classes := t.TempDir()
	path := []string{classes}
	for _, jar := range jars {
		path = append(path, filepath.Join("/usr/share/java", jar))
	}
	for _, jar := range path[1:] {
		if _, err := os.Stat(jar); err != nil {
			missing(t, "the JDBC drivers")
		}
	}
	if _, err := exec.LookPath("javac"); err != nil {
		missing(t, "a JDK")
	}
	classPath := strings.Join(path, string(os.PathListSeparator))
	out, err := exec.Command("javac", "-encoding", "UTF-8", "-cp", classPath, "-d", classes,
		"testdata/Parse.java").CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.Command("java", "-cp", classPath, "Parse")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		require.NoError(t, cmd.Wait())
	})
	return &java{in, bufio.NewReader(stdout)}
}

// missing skips the test, or fails it if skipping is not allowed.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "" {
		t.Skipf("%s not installed: %s", what, install)
	}
	t.Fatalf("%s not installed: %s", what, install)
}

// A parsed URL: its parts by name. It is nil if the URL is refused.
type parsed map[string]string

// parse returns the result of the driver's parser for each database.
func (j *java) parse(t *testing.T, driver string, all []jdbc.Database) []parsed {
	t.Helper()
	written := make(chan error, 1)
	go func() {
		w := bufio.NewWriter(j.in)
		for _, d := range all {
			fmt.Fprintln(w, driver, encode(d.URL), encode(properties(d)))
		}
		written <- w.Flush()
	}()
	answers := make([]parsed, len(all))
	for i := range answers {
		line, err := j.out.ReadString('\n')
		require.NoError(t, err)
		if line = strings.TrimSpace(line); line == "refused" {
			continue
		}
		answers[i] = parsed{}
		for pair := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(pair, ":")
			text, err := base64.StdEncoding.DecodeString(value)
			require.NoError(t, err)
			answers[i][name] = string(text)
		}
	}
	require.NoError(t, <-written)
	return answers
}

// properties returns the properties that a product passes to the driver.
func properties(d jdbc.Database) string {
	text := d.Properties
	for _, p := range [][2]string{{"user", d.Username}, {"password", d.Password}} {
		if p[1] != "" {
			text += "\n" + p[0] + "=" + p[1]
		}
	}
	return text
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
