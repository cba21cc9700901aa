package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref"
)

func keysCommand() command {
	return command{
		name:     "keys",
		synopsis: "keys -store S COMMAND [NAME]",
		help: `
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
` + storeFlagsHelp + `

Flags stand before or behind the command, and before NAME; a NAME that begins
with a dash stands behind "--". The audit log has USER@HOST as who did it.
` + storeNotes,
		run: keys,
	}
}

// keysFlags are the flags of the commands.
type keysFlags struct {
	json       bool
	empty      bool
	olderThan  time.Duration // 0: not given
	newRootKey string
}

// keysTask is one of the commands of keys.
type keysTask struct {
	name   string
	args   int  // how many it has
	create bool // it makes the keyring if there is none
	long   bool // it takes as long as it takes, unless -timeout is given

	flags func(*flag.FlagSet, *keysFlags)        // nil: none
	check func(o storeFlags, f keysFlags) error  // nil: they are right
	read  func(context.Context, *keysCall) error // before the keyring is opened; nil: nothing
	run   func(context.Context, *keysCall) error // on the keyring
	alone func(args []string, s streams) error   // instead, without one
}

// keysCall is one call of a command.
type keysCall struct {
	*opened
	given    storeFlags
	flags    keysFlags
	args     []string
	secret   secretref.Secret // to be stored
	streams  streams
	progress *progress
}

// line writes one line of the result.
func (c *keysCall) line(format string, args ...any) error {
	return line(c.streams.out, format, args...)
}

func keysTasks() []keysTask {
	asJSON := func(f *flag.FlagSet, o *keysFlags) { f.BoolVar(&o.json, "json", false, "") }
	return []keysTask{
		{name: "put", args: 1, create: true, read: readSecret, run: putSecret,
			flags: func(f *flag.FlagSet, o *keysFlags) { f.BoolVar(&o.empty, "empty", false, "") }},
		{name: "get", args: 1, run: getSecret},
		{name: "delete", args: 1, run: deleteSecret},
		{name: "names", long: true, run: listNames},
		{name: "list", flags: asJSON, run: listKeys},
		{name: "verify", long: true, run: verifyKeys},
		{name: "audit", long: true, flags: asJSON, run: printAudit},
		{name: "rotate", long: true, run: rotateKeys,
			flags: func(f *flag.FlagSet, o *keysFlags) { f.Func("if-older-than", "", parseAge(&o.olderThan)) }},
		{name: "inactive", flags: asJSON, run: listInactive},
		{name: "delete-inactive", long: true, run: deleteInactive},
		{name: "change-root", long: true, check: checkChangeRoot, run: changeRoot,
			flags: func(f *flag.FlagSet, o *keysFlags) { f.StringVar(&o.newRootKey, "new-root-key-file", "", "") }},
		{name: "new-root-key", args: 1, alone: newRootKey},
	}
}

func keys(ctx context.Context, args []string, s streams) error {
	const anyNumber = 1 << 20
	var store storeFlags
	f := flags("keys")
	store.register(f)
	args, err := parse(f, args, 0, anyNumber)
	if err != nil {
		return err
	}
	task, err := findTask(args)
	if err != nil {
		return err
	}
	c := &keysCall{streams: s, progress: newProgress(s)}
	f = flags("keys " + task.name)
	store.register(f)
	if task.flags != nil {
		task.flags(f, &c.flags)
	}
	if c.args, err = parse(f, args[1:], task.args, task.args); err != nil {
		return err
	}
	if task.alone != nil {
		return task.alone(c.args, s)
	}
	c.given = store
	if _, err := store.location(); err != nil {
		return err
	}
	if task.check != nil {
		if err := task.check(store, c.flags); err != nil {
			return err
		}
	}
	return c.do(ctx, task)
}

// findTask returns the command that args name. It does not repeat what it does
// not know: that may be a secret.
func findTask(args []string) (keysTask, error) {
	tasks := keysTasks()
	var names []string
	for _, t := range tasks {
		names = append(names, t.name)
	}
	if len(args) == 0 {
		return keysTask{}, &usageError{"a command is missing; there are " + strings.Join(names, ", ")}
	}
	i := slices.Index(names, args[0])
	if i < 0 {
		return keysTask{}, &usageError{"keys has no such command; there are " + strings.Join(names, ", ")}
	}
	return tasks[i], nil
}

// do opens the keyring and carries out the task.
func (c *keysCall) do(ctx context.Context, task keysTask) error {
	ctx = secretref.WithActor(ctx, actor())
	defer c.progress.end()
	if task.read != nil {
		if err := task.read(ctx, c); err != nil {
			return err
		}
	}
	log, stop := watchWaits(c.streams.err, warnings(c.streams.err))
	defer stop()
	limited, cancel := context.WithTimeout(ctx, c.given.timeout.value())
	defer cancel()
	var err error
	c.opened, err = openKeyring(limited, c.given, task.create, secretref.KeyringOptions{
		Progress: c.progress.show,
		Logger:   log,
		Audit:    c.tellOfCreation,
	})
	if err == nil {
		defer c.close()
		if task.long && c.given.timeout == 0 {
			return task.run(ctx, c)
		}
		err = task.run(limited, c)
	}
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = &timedOut{c.given.timeout.value(), err}
	}
	return err
}

// timedOut is the failure of a command that -timeout has ended.
type timedOut struct {
	after time.Duration
	err   error
}

func (e *timedOut) Error() string {
	return fmt.Sprintf("no end after %s (-timeout): %s", e.after, message(e.err))
}

func (e *timedOut) Unwrap() error { return e.err }

// tellOfCreation says what must be kept of a keyring that was just made. Where
// the root key is a new one, too, the library says so.
func (c *keysCall) tellOfCreation(_ context.Context, e secretref.AuditEvent) {
	if e.Action == "create" && c.given.rootKeyFile != "" {
		_ = line(c.streams.err, "secretref: a new keyring: without the root key in %s its secrets are lost, so keep a copy of that", c.given.rootKeyFile)
	}
}

// actor is who uses the command, for the audit log.
func actor() string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
