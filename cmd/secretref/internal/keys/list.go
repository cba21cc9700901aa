package keys

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func listKeys(ctx context.Context, c *call) error {
	infos, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	return c.writeKeys(infos)
}

func listInactive(ctx context.Context, c *call) error {
	infos, err := c.Inactive(ctx)
	if err != nil {
		return err
	}
	if len(infos) == 0 && !c.flags.json {
		return c.line("there are no inactive keys")
	}
	return c.writeKeys(infos)
}

func (c *call) writeKeys(infos []secretref.KeyInfo) error {
	if c.flags.json {
		return writeKeysJSON(c.streams.Exact, infos)
	}
	return writeKeysTable(c.streams.Out, infos)
}

func writeKeysTable(w io.Writer, infos []secretref.KeyInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSTATE\tCREATED\tACTIVATED\tDEACTIVATED\tSECRETS\tENCRYPTIONS")
	for _, k := range infos {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", ui.Printable(k.ID),
			ui.Printable(string(k.State)),
			formatTime(k.Created), formatTime(k.Activated), formatTime(k.Deactivated), k.Secrets,
			k.Encryptions)
	}
	return t.Flush()
}

// formatTime returns a time as text, "-" if it is zero.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// keyJSON is a key in the output of list -json. A zero time is null.
type keyJSON struct {
	ID          string             `json:"id"`
	State       secretref.KeyState `json:"state"`
	Created     *time.Time         `json:"created"`
	Activated   *time.Time         `json:"activated"`
	Deactivated *time.Time         `json:"deactivated"`
	Secrets     int                `json:"secrets"`
	Encryptions uint64             `json:"encryptions"`
}

func writeKeysJSON(w io.Writer, infos []secretref.KeyInfo) error {
	nonZero := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	list := []keyJSON{}
	for _, k := range infos {
		list = append(list, keyJSON{k.ID, k.State, nonZero(k.Created), nonZero(k.Activated),
			nonZero(k.Deactivated), k.Secrets, k.Encryptions})
	}
	e := ui.NewJSONEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

// eventJSON is an event in the output of audit -json.
type eventJSON struct {
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Outcome string    `json:"outcome"`
	Keys    []string  `json:"keys"`
	Detail  string    `json:"detail"`
}

func printAudit(ctx context.Context, c *call) error {
	e := ui.NewJSONEncoder(c.streams.Exact)
	for event, err := range c.AuditLog(ctx) {
		if err != nil {
			return err
		}
		if c.flags.json {
			err = e.Encode(eventJSON{event.Time.UTC(), event.Actor, event.Action, event.Outcome,
				append([]string{}, event.Keys...), event.Detail})
		} else {
			err = c.line("%s", eventLine(event))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eventLine returns an event as readable text.
func eventLine(e secretref.AuditEvent) string {
	line := fmt.Sprintf("%s  %-15s  %-7s  by %s", formatTime(e.Time), e.Action, e.Outcome,
		ui.Printable(cmp.Or(e.Actor, "-")))
	if len(e.Keys) > 0 {
		line += ", keys " + strings.Join(e.Keys, " ")
	}
	if e.Detail != "" {
		line += ": " + ui.Printable(e.Detail)
	}
	return line
}
