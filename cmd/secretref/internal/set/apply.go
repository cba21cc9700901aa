package set

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/ref"
)

// apply replaces the file, or with -dry-run reports whether it could.
func (j *setOperation) apply(ctx context.Context) error {
	if j.target.lockFailed {
		j.report("warning", "the file could not be locked: make sure that nothing else "+
			"changes it now")
	}
	if len(j.result.Lines) == 0 {
		if !j.dryRun {
			j.cleanUp()
		}
		j.reportLeftovers()
		fmt.Fprintln(j.out, "\nnothing to change: the file already has these values")
		j.printNext()
		return nil
	}
	if j.dryRun {
		if err := checkReplaceable(j.target.path, filepath.Dir(j.target.path),
			j.target.info); err != nil {
			return &unchangedError{err: err}
		}
		fmt.Fprintf(j.out, "\nnothing was written: this was a dry run\n\nnext: run this without "+
			"-dry-run; then %s\n", j.nextStep())
		return nil
	}
	if err := ctx.Err(); err != nil {
		return &unchangedError{err: context.Cause(ctx)}
	}
	j.cleanUp()
	inside := isInHome(j.backupDir, j.target.path) || isInHome(j.backupDir, j.path)
	done, err := j.target.replace(j.result.Text, j.backupDir, time.Now())
	if done.backup == "" {
		return err
	}
	j.report("backup", "%s", done.backup)
	j.report("warning", "%s", j.backupWarning())
	if inside {
		j.report("warning", "the backup is in the product's home directory: move it out of reach "+
			"of the product and its own backups")
	}
	j.report("written", "%s", j.target.path)
	if done.overwritten != "" {
		j.report("warning", "another process wrote to the file while it was being replaced; its "+
			"text is in %s: merge it into the file", done.overwritten)
	}
	if done.leftover != "" {
		j.report("warning", "%s is the old file and could not be removed: remove it, since it "+
			"may contain a password", done.leftover)
	}
	if done.lostAttributes != nil {
		j.report("warning", "these attributes of the file were lost: %s",
			strings.Join(done.lostAttributes, ", "))
	}
	if n := linkCount(j.target.info); n > 1 {
		j.report("warning", "the file had %d names (hard links): the others still refer to the "+
			"old content", n)
	}
	j.reportLeftovers()
	j.printNext()
	return err
}

// cleanUp removes temporary files of killed runs.
func (j *setOperation) cleanUp() {
	name := filepath.Base(j.target.path)
	for _, path := range slices.Concat(cleanTempFiles(filepath.Dir(j.target.path), name),
		cleanTempFiles(j.backupDir, name)) {
		j.report("warning", "%s belongs to another run: if that was killed, remove the file, "+
			"since it may contain a password", path)
	}
}

// printNext prints the next step for the user.
func (j *setOperation) printNext() { fmt.Fprintln(j.out, "\nnext: "+j.nextStep()) }

func (j *setOperation) backupWarning() string {
	const remove = "delete it once the product has started with the new value on every node"
	entry, _ := j.config.Get(j.change.Key)
	if _, err := j.resolver.Parse(entry.Reveal()); err == nil || ref.IsPlaceholder(entry.Reveal()) {
		return "the backup may contain other passwords of the file: " + remove
	}
	return "the backup contains the old password: " + remove
}
