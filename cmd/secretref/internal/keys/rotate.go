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
	return c.line("all is well: %s, %s", plural(secrets, "secret"), plural(len(infos), "key"))
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// parseAge reads a duration, which may also be a number of days.
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
		return c.line("nothing to do: the active key is not that old, or another node is rotating")
	}
	return c.line("rotated from key %s to %s: %s sealed anew", done.From, done.To, plural(done.Moved, "secret"))
}

// interruptedError says what an interrupt has left behind.
func interruptedError(done secretref.Rotation) error {
	if done.To == "" {
		return errors.New("interrupted: nothing was changed")
	}
	return fmt.Errorf("interrupted: %s sealed anew with key %s so far, nothing is lost, and the next \"secretref keys rotate\" finishes it",
		plural(done.Moved, "secret"), done.To)
}

// printBlocked names the secrets that stop a rotation and that its error has no
// room for.
func (c *call) printBlocked(names []string, err error) {
	text := err.Error()
	for _, name := range names {
		if quoted := strconv.Quote(name); !strings.Contains(text, quoted) {
			_ = ui.Line(c.streams.Err, "secretref: it cannot be opened: %s", quoted)
		}
	}
}

func deleteInactive(ctx context.Context, c *call) error {
	deleted, err := c.DeleteInactive(ctx)
	if err != nil {
		return err
	}
	if len(deleted) == 0 {
		return c.line("there is no inactive key")
	}
	for _, k := range deleted {
		if err := c.line("deleted key %s", k.ID); err != nil {
			return err
		}
	}
	return nil
}

// progress is a line on a terminal that says how far a rotation is.
type progress struct {
	streams ui.Streams
	shown   bool
}

func newProgress(s ui.Streams) *progress { return &progress{streams: s} }

// show writes the line in the place of the one before.
func (p *progress) show(done, total int) {
	if p.streams.ErrIsTerminal {
		fmt.Fprintf(p.streams.Cursor, "\rsealed anew: %d of %d", done, total)
		p.shown = true
	}
}

// end leaves the line as it is, if there is one.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.streams.Cursor)
		p.shown = false
	}
}
