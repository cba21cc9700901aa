package keys

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func Command() ui.Command {
	return ui.Command{
		Name:     "keys",
		Synopsis: "keys -store S COMMAND [NAME]",
		Help: `
Keeps secrets in a keyring, sealed under keys that can be replaced. The commands:

  put [-empty] NAME stores the secret on standard input, up to 1 MiB, byte for
                    byte, in the place of any other; at a terminal it is typed
                    twice, unseen, and is one line without its newline. Nothing on
                    standard input is an error, unless -empty is given. The
                    first put makes the keyring
  get NAME          prints the secret and nothing else
  delete NAME       removes the secret
  names             lists the names of all secrets
  list [-json]      lists the keys
  verify            opens every secret and every key
  audit [-json]     prints the audit log, a line for each event
  rotate [-if-older-than D]
                    makes a new key and seals all secrets with it anew; the old
                    key becomes inactive. With D, such as 90d or 36h, only if the
                    active key is that old and no other node does so already. A
                    rotation that was interrupted is finished by the next one
  inactive [-json]  lists the keys that no secret needs
  delete-inactive   deletes them. A backup made earlier still has them, and opens
                    with the root key of its time
  change-root [-new-root-key-file F]
                    wraps the keys with another root key. A store that is a file S
                    and has its root key in S.key gets a new one there. Keep the
                    former root key as long as backups from before
  new-root-key F    writes a new root key to the new file F; needs no store

  -timeout D                  how long opening the keyring may take, and put, get,
                              delete, list and inactive (default 10s). The other
                              commands then take as long as they take, unless the
                              flag is given
` + storeflags.Help + `

Flags stand before or behind the command, and before NAME; a NAME that begins
with a dash stands behind "--". The audit log has USER@HOST as who did it.
` + storeflags.Notes,
		Run: run,
	}
}

// options are the flags of the commands.
type options struct {
	json       bool
	empty      bool
	olderThan  time.Duration // 0: not given
	newRootKey string
}

// task is one of the commands of keys.
type task struct {
	name      string
	args      int  // how many it has
	create    bool // it makes the keyring if there is none
	unlimited bool // it takes as long as it takes, unless -timeout is given

	flags        func(*flag.FlagSet, *options)             // nil: none
	check        func(o storeflags.Flags, f options) error // nil: they are right
	read         func(context.Context, *call) error        // before the keyring is opened; nil: nothing
	run          func(context.Context, *call) error        // on the keyring
	withoutStore func(args []string, s ui.Streams) error   // instead, without one
}

// call is one call of a command.
type call struct {
	*storeflags.Keyring
	given    storeflags.Flags
	flags    options
	args     []string
	secret   secretref.Secret // to be stored
	streams  ui.Streams
	progress *progress
}

// line writes one line of the result.
func (c *call) line(format string, args ...any) error {
	return ui.Line(c.streams.Out, format, args...)
}

func tasks() []task {
	asJSON := func(f *flag.FlagSet, o *options) { f.BoolVar(&o.json, "json", false, "") }
	return []task{
		{name: "put", args: 1, create: true, read: readNewSecret, run: putSecret,
			flags: func(f *flag.FlagSet, o *options) { f.BoolVar(&o.empty, "empty", false, "") }},
		{name: "get", args: 1, run: getSecret},
		{name: "delete", args: 1, run: deleteSecret},
		{name: "names", unlimited: true, run: listNames},
		{name: "list", flags: asJSON, run: listKeys},
		{name: "verify", unlimited: true, run: verifyKeys},
		{name: "audit", unlimited: true, flags: asJSON, run: printAudit},
		{name: "rotate", unlimited: true, run: rotateKeys,
			flags: func(f *flag.FlagSet, o *options) { f.Func("if-older-than", "", parseAge(&o.olderThan)) }},
		{name: "inactive", flags: asJSON, run: listInactive},
		{name: "delete-inactive", unlimited: true, run: deleteInactive},
		{name: "change-root", unlimited: true, check: checkChangeRoot, run: changeRoot,
			flags: func(f *flag.FlagSet, o *options) { f.StringVar(&o.newRootKey, "new-root-key-file", "", "") }},
		{name: "new-root-key", args: 1, withoutStore: newRootKey},
	}
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	const anyNumber = 1 << 20
	var store storeflags.Flags
	f := ui.NewFlags("keys")
	store.Register(f)
	args, err := ui.ParseFlags(f, args, 0, anyNumber)
	if err != nil {
		return err
	}
	task, err := findTask(args)
	if err != nil {
		return err
	}
	c := &call{streams: s, progress: newProgress(s)}
	f = ui.NewFlags("keys " + task.name)
	store.Register(f)
	if task.flags != nil {
		task.flags(f, &c.flags)
	}
	if c.args, err = ui.ParseFlags(f, args[1:], task.args, task.args); err != nil {
		return err
	}
	if task.withoutStore != nil {
		return task.withoutStore(c.args, s)
	}
	c.given = store
	if _, err := store.Location(); err != nil {
		return err
	}
	if task.check != nil {
		if err := task.check(store, c.flags); err != nil {
			return err
		}
	}
	return c.execute(ctx, task)
}

// findTask returns the command that args name. It does not repeat what it does
// not know: that may be a secret.
func findTask(args []string) (task, error) {
	tasks := tasks()
	var names []string
	for _, t := range tasks {
		names = append(names, t.name)
	}
	if len(args) == 0 {
		return task{}, ui.NewUsageError("a command is missing; there are " + strings.Join(names, ", "))
	}
	i := slices.Index(names, args[0])
	if i < 0 {
		return task{}, ui.NewUsageError("keys has no such command; there are " + strings.Join(names, ", "))
	}
	return tasks[i], nil
}

// execute opens the keyring and carries out the task.
func (c *call) execute(ctx context.Context, task task) error {
	ctx = secretref.WithActor(ctx, storeflags.Actor())
	defer c.progress.end()
	if task.read != nil {
		if err := task.read(ctx, c); err != nil {
			return err
		}
	}
	log, stop := ui.ReportWaits(c.streams.Err, ui.NewWarningLogger(c.streams.Err))
	defer stop()
	limited, cancel := context.WithTimeout(ctx, c.given.Timeout.Value())
	defer cancel()
	var err error
	c.Keyring, err = storeflags.Open(limited, c.given, task.create, secretref.KeyringOptions{
		Progress: c.progress.show,
		Logger:   log,
		Audit:    c.announceCreation,
	})
	if err == nil {
		defer c.CloseIfOpen()
		if task.unlimited && c.given.Timeout == 0 {
			return task.run(ctx, c)
		}
		err = task.run(limited, c)
	}
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = &timeoutError{c.given.Timeout.Value(), err}
	}
	return err
}

// timeoutError is the failure of a command that -timeout has ended.
type timeoutError struct {
	after time.Duration
	err   error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("no end after %s (-timeout): %s", e.after, ui.Message(e.err))
}

func (e *timeoutError) Unwrap() error { return e.err }

// announceCreation says what must be kept of a keyring that was just made. Where
// the root key is a new one, too, the library says so.
func (c *call) announceCreation(_ context.Context, e secretref.AuditEvent) {
	if e.Action == "create" && c.given.RootKeyFile != "" {
		_ = ui.Line(c.streams.Err, "secretref: a new keyring: without the root key in %s its secrets are lost, so keep a copy of that", c.given.RootKeyFile)
	}
}
