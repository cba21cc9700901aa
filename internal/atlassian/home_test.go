package atlassian_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestRead_homes(t *testing.T) {
	text := map[string]string{
		"dbconfig.xml":         "<jira-database-config/>",
		"confluence.cfg.xml":   "<confluence-configuration/>",
		"bitbucket.properties": "jdbc.url=x",
		"bamboo.cfg.xml":       "<application-configuration/>",
		"crowd.cfg.xml":        "<application-configuration/>",
	}
	for name, row := range map[string]struct {
		files []string // the first one is found
		want  atlassian.Product
	}{
		"Jira's home": {[]string{"dbconfig.xml"}, atlassian.Jira},
		"Confluence's home": {
			[]string{"confluence.cfg.xml", "shared-home/confluence.cfg.xml"}, atlassian.Confluence,
		},
		"Confluence's shared home": {[]string{"confluence.cfg.xml"}, atlassian.Confluence},
		"above Confluence's shared home": {
			[]string{"shared-home/confluence.cfg.xml"}, atlassian.Confluence,
		},
		"Bitbucket's home": {
			[]string{"shared/bitbucket.properties", "bitbucket.properties"}, atlassian.Bitbucket,
		},
		"Bitbucket's shared home": {
			[]string{"bitbucket.properties"}, atlassian.Bitbucket,
		},
		"Bamboo's home": {
			[]string{"bamboo.cfg.xml", "shared/bamboo.cfg.xml"}, atlassian.Bamboo,
		},
		"Crowd's home": {
			[]string{"shared/crowd.cfg.xml", "crowd.cfg.xml"}, atlassian.Crowd,
		},
		"Crowd's shared home, and an older home": {[]string{"crowd.cfg.xml"}, atlassian.Crowd},
		"Jira's and Confluence's":                {[]string{"dbconfig.xml", "confluence.cfg.xml"}, ""},
		"Bamboo's and Crowd's, in different ways": {
			[]string{"bamboo.cfg.xml", "shared/crowd.cfg.xml"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for _, file := range row.files {
				path := filepath.Join(home, filepath.FromSlash(file))
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text[filepath.Base(path)]), 0o600))
			}
			c, err := atlassian.Read(home)
			if row.want == "" {
				require.ErrorIs(t, err, fault.Unsupported)
				for _, file := range row.files {
					require.ErrorContains(t, err, filepath.Join(home, filepath.FromSlash(file)),
						"the error names both")
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, c.Product)
			require.Equal(t, filepath.Join(home, filepath.FromSlash(row.files[0])), c.Path)
		})
	}
}

func TestRead_bambooOrCrowd(t *testing.T) {
	file := func(key string) string {
		return "<application-configuration><properties><property name=\"" + key +
			"\">x</property></properties></application-configuration>"
	}
	for name, row := range map[string]struct {
		file, text string
		want       atlassian.Product
	}{
		"by the name":              {"crowd.cfg.xml", file("bamboo.x"), atlassian.Crowd},
		"by the other name":        {"bamboo.cfg.xml", file("crowd.x"), atlassian.Bamboo},
		"else by a property":       {"copy.xml", file("bamboo.jms.broker.uri"), atlassian.Bamboo},
		"else by another property": {"crowd.cfg.xml.bak", file("crowd.server.id"), atlassian.Crowd},
	} {
		require.Equal(t, row.want, read(t, row.file, row.text).Product, name)
	}
}

func TestRead_symlink(t *testing.T) {
	target, home := writeFile(t, "..data/dbconfig.xml", sample(t, "jira", "dbconfig.xml")), t.TempDir()
	link := filepath.Join(home, "dbconfig.xml")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{link, home} {
		c, err := atlassian.Read(path)
		require.NoError(t, err)
		require.Equal(t, link, c.Path)
		require.Equal(t, atlassian.Jira, c.Product)
	}
	require.NoError(t, os.Remove(target))
	_, err := atlassian.Read(link)
	require.ErrorIs(t, err, fault.NotFound)
}
