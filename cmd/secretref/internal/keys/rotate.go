package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func verifyKeys(ctx context.Context, c *call) error {
	if err := c.Verify(ctx); err != nil {
		return err
	}
	infos, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	secrets := 0
	for _, k := range infos {
		secrets += k.Secrets
	}
	return c.line("OK: %s and %s verified", plural(secrets, "secret"), plural(len(infos), "key"))
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// parseAge parses a duration or a number of days.
func parseAge(age *time.Duration) func(string) error {
	return func(text string) error {
		const day = 24 * time.Hour
		if days, ok := strings.CutSuffix(text, "d"); ok {
			n, err := strconv.ParseInt(days, 10, 64)
			if err != nil || n <= 0 || n > int64(1<<63-1)/int64(day) {
				return errors.New("not a number of days")
			}
			*age = time.Duration(n) * day
			return nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return errors.New("not a duration such as 90d, 36h or 30m")
		}
		*age = d
		return nil
	}
}

func rotateKeys(ctx context.Context, c *call) error {
	var done secretref.Rotation
	var err error
	rotated := true
	if c.flags.olderThan > 0 {
		done, rotated, err = c.RotateIfOlder(ctx, c.flags.olderThan)
	} else {
		done, err = c.Rotate(ctx)
	}
	c.progress.end()
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return interruptedError(done)
	case err != nil:
		c.printBlocked(done.Blocked, err)
		return err
	case !rotated:
		return c.reportNotRotated(ctx)
	}
	return c.line("rotated from key %s to %s: %s re-encrypted", done.From, done.To,
		plural(done.Moved, "secret"))
}

// reportNotRotated prints why a rotation with a minimum age was not necessary.
func (c *call) reportNotRotated(ctx context.Context) error {
	infos, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range infos {
		age := time.Since(k.Activated)
		if k.State == secretref.KeyActive && age < c.flags.olderThan {
			return c.line("nothing to do: the active key is %s old", formatAge(age))
		}
	}
	return c.line("nothing to do: another node is already rotating")
}

func formatAge(age time.Duration) string {
	if days := int(age / (24 * time.Hour)); days > 0 {
		return plural(days, "day")
	}
	return "less than a day"
}

// interruptedError describes the state that an interrupted rotation leaves.
func interruptedError(done secretref.Rotation) error {
	if done.To == "" {
		return errors.New("interrupted; nothing was changed")
	}
	return fmt.Errorf("interrupted: %s re-encrypted with key %s so far; nothing is lost, and the "+
		"next \"secretref keys rotate\" completes the rotation",
		plural(done.Moved, "secret"), done.To)
}

// printBlocked names the secrets that block a rotation and that its error omits.
func (c *call) printBlocked(names []string, err error) {
	text := err.Error()
	for _, name := range names {
		if quoted := strconv.Quote(name); !strings.Contains(text, quoted) {
			_ = ui.Line(c.streams.Err, "secretref: cannot decrypt the secret %s", quoted)
		}
	}
}

func deleteInactive(ctx context.Context, c *call) error {
	deleted, err := c.DeleteInactive(ctx)
	if err != nil {
		return err
	}
	if len(deleted) == 0 {
		return c.line("there are no inactive keys")
	}
	for _, k := range deleted {
		if err := c.line("deleted key %s", k.ID); err != nil {
			return err
		}
	}
	return nil
}

// progress shows the progress of a rotation on a terminal.
type progress struct {
	streams ui.Streams
	shown   bool
}

func newProgress(s ui.Streams) *progress { return &progress{streams: s} }

// show replaces the progress line.
func (p *progress) show(done, total int) {
	if p.streams.ErrIsTerminal {
		fmt.Fprintf(p.streams.Cursor, "\rre-encrypted: %d of %d", done, total)
		p.shown = true
	}
}

// end ends the progress line, if any.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.streams.Cursor)
		p.shown = false
	}
}
