package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestVersion(t *testing.T) {
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	for _, c := range []struct {
		set  string
		info *debug.BuildInfo
		want string
	}{
		{"", nil, "(unknown)"},
		{"v1.2.3", nil, "v1.2.3"},
		{"", built(""), "(devel)"},
		{"", built("v1.2.3"), "v1.2.3"},
		{"v1.3.0", built("v1.2.3", commit), "v1.3.0 (commit 0123abc)"},
		{"", built("", commit, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-20T21:00:56Z"},
			debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"(devel) (commit 0123abc of 2026-11-20T21:00:56Z, modified)"},
	} {
		assert.Equal(t, c.want, describe(c.set, c.info))
	}

	w := newFixture(t)
	got := w.do("", false, "version")
	assert.Equal(t, ui.StatusOK, got.status)
	assert.Regexp(t, `^secretref \S.* go1\.\S+ \w+/\w+\n$`, got.out)
}
