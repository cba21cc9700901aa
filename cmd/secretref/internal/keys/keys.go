// Package keys is the command "keys": it manages the secrets and keys of a keyring.
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
Manages a keyring: secrets that are encrypted under keys, and the rotation of these
keys. The commands:

  put [-empty] NAME stores standard input as the secret, byte for byte and up to
                    1 MiB, replacing any previous one. A terminal asks twice,
                    without echo, for one line. Empty input is an error unless
                    -empty is given. The first put creates the keyring
  get NAME          prints the secret and nothing else
  delete NAME       deletes the secret
  names             lists the names of all secrets
  list [-json]      lists the keys
  verify            decrypts every secret and every key
  audit [-json]     prints the audit log, one line per event
  rotate [-if-older-than D]
                    creates a new key and re-encrypts all secrets with it; the old
                    key becomes inactive. With D, such as 90d or 36h, only if the
                    active key is that old and no other node is rotating. The next
                    rotation completes one that was interrupted
  inactive [-json]  lists the keys that no secret needs
  delete-inactive   deletes these keys. Earlier backups still contain them, and need
                    the root key from that time
  change-root [-new-root-key-file F]
                    wraps the keys with another root key. For a store file S with
                    its root key in S.key, a new one is written there. Keep the old
                    root key as long as you keep backups from before the change
  new-root-key F    writes a new root key to the new file F; needs no store

  -timeout D                  limit for opening the keyring and for put, get,
                              delete, list and inactive (default 10s). It limits
                              the other commands only if the flag is given
` + storeflags.Help + `

Flags come before or after the command, and before NAME; put "--" before a NAME that
starts with a dash. The audit log records USER@HOST as the actor.
` + storeflags.Notes,
		Run: run,
	}
}

// options are the flags of the commands.
type options struct {
	json       bool
	empty      bool
	olderThan  time.Duration // 0 if not given
	newRootKey string
}

// task is one of the commands of keys.
type task struct {
	name      string
	args      int  // number of arguments
	create    bool // whether to create a missing keyring
	unlimited bool // whether only an explicit -timeout limits it

	// Hooks that may be nil: they add flags, check them, and read input before the
	// keyring is opened.
	flags func(*flag.FlagSet, *options)
	check func(o storeflags.Flags, f options) error
	read  func(context.Context, *call) error

	// Exactly one of these is set.
	run          func(context.Context, *call) error
	withoutStore func(args []string, s ui.Streams) error
}

// call is one execution of a task.
type call struct {
	*storeflags.Keyring
	given    storeflags.Flags
	flags    options
	args     []string
	secret   secretref.Secret // to store
	streams  ui.Streams
	progress *progress
}

// line prints one line of the result.
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
			flags: func(f *flag.FlagSet,
				o *options) {
				f.Func("if-older-than", "", parseAge(&o.olderThan))
			}},
		{name: "inactive", flags: asJSON, run: listInactive},
		{name: "delete-inactive", unlimited: true, run: deleteInactive},
		{name: "change-root", unlimited: true, check: checkChangeRoot, run: changeRoot,
			flags: func(f *flag.FlagSet,
				o *options) {
				f.StringVar(&o.newRootKey, "new-root-key-file", "", "")
			}},
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

// findTask returns the task that args name. Its error does not quote an unknown word,
// which may be a secret.
func findTask(args []string) (task, error) {
	tasks := tasks()
	var names []string
	for _, t := range tasks {
		names = append(names, t.name)
	}
	if len(args) == 0 {
		return task{}, ui.NewUsageError("missing command; the commands are " +
			strings.Join(names, ", "))
	}
	i := slices.Index(names, args[0])
	if i < 0 {
		return task{}, ui.NewUsageError("unknown command of keys; the commands are " +
			strings.Join(names, ", "))
	}
	return tasks[i], nil
}

// execute opens the keyring and runs the task.
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

// timeoutError is the error of a command that -timeout ended.
type timeoutError struct {
	after time.Duration
	err   error
}

func (t *timeoutError) Error() string {
	return fmt.Sprintf("timed out after %s (-timeout): %s", t.after, ui.Message(t.err))
}

func (t *timeoutError) Unwrap() error { return t.err }

// announceCreation tells the user of a new keyring to keep its root key. The library
// does so itself if the root key is new too.
func (c *call) announceCreation(_ context.Context, e secretref.AuditEvent) {
	if e.Action == "create" && c.given.RootKeyFile != "" {
		_ = ui.Line(c.streams.Err,
			"secretref: created a new keyring; keep a copy of the root key in %s, since the "+
				"secrets are lost without it", c.given.RootKeyFile)
	}
}
