package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func versionCommand() ui.Command {
	return ui.Command{
		Name:     "version",
		Synopsis: "version",
		Help:     "Prints the version, the commit it was built from, and the Go version.",
		Run: func(_ context.Context, args []string, s ui.Streams) error {
			if _, err := ui.ParseFlags(ui.NewFlags("version"), args, 0, 0); err != nil {
				return err
			}
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(s.Out, "secretref %s %s %s/%s\n", describe(version, info),
				runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// describe returns the version that was set, or else that of the module, and the
// commit if it is known. info may be nil.
func describe(set string, info *debug.BuildInfo) string {
	if info == nil {
		return cmp.Or(set, "(unknown)")
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	text := cmp.Or(set, info.Main.Version, "(devel)")
	if commit := settings["vcs.revision"]; commit != "" {
		text += " (commit " + commit
		if at := settings["vcs.time"]; at != "" {
			text += " of " + at
		}
		if settings["vcs.modified"] == "true" {
			text += ", modified"
		}
		text += ")"
	}
	return text
}
