// Package secretref resolves secret references: configuration values that say
// where a password is stored instead of containing it. Atlassian Data Center
// products write them into their configuration files as JSON coordinates:
//
//	{ENC}{"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password"}
//	{ENC}{"mount":"secret","path":"sample/secret","key":"password","endpoint":"https://vault.example.com"}
//	{ENC}{"keyring":"jdbc-password"}
//
// The first refers to a secret in AWS Secrets Manager, the second to a key in a
// KV version 2 engine of HashiCorp Vault, the third to a secret in a [Keyring].
//
// # Which function do I want
//
// To resolve a value of your own configuration:
//
//   - one value: [Resolver.Resolve];
//   - several values together: [Resolver.ResolveAll];
//   - all [Secret] fields of a configuration struct: [Resolver.ResolveStruct];
//   - references inside other text, such as a connection string:
//     [Resolver.Expand].
//
// To use the database of Jira, Confluence, Bitbucket, Bamboo or Crowd:
//
//   - read the product's configuration file: [ReadConfig];
//   - resolve the passwords in it: [Resolver.ResolveConfig];
//   - open the database: [Database.DataSource].
//
// To follow a password that is rotated while the program runs:
//
//   - one value: [Resolver.Watch];
//   - a user name and its password: [Resolver.WatchAll];
//   - a configuration file: [Resolver.WatchConfig];
//   - log in to a database with database/sql: [Connector];
//   - log in to anything else: [Try].
//
// To store secrets without a cloud service:
//
//   - create or open a keyring: [OpenKeyring];
//   - store a secret: [Keyring.Put];
//   - resolve references to stored secrets: [Options].Keyring;
//   - rotate the keys: [Keyring.Rotate] or [Keyring.RotateIfOlder];
//   - manage the keys over HTTP: [Keyring.Handler].
//
// To inspect a reference without resolving it, use [Parse]. To test a program
// without a network, use [NewFake]. To connect another secret store, use
// [Provider].
//
// # What to expect
//
// A value that does not look like a reference is plaintext and is returned
// unchanged, so a program can pass every password through a Resolver. A value
// that looks like a reference and contains a mistake is an error, never a
// password.
//
// Several references into one secret cause one fetch. Transient failures are
// retried until the context or [Options].Timeout ends. All other failures are
// returned immediately. An error states the location of the value, the
// reference, the cause and the fix.
//
// A [Secret] is redacted wherever it is printed or encoded. Only
// [Secret.Reveal] returns its text.
//
// # In production
//
// A fetched secret is served from memory for [Options].TTL. If its backend is
// unavailable after that, the last good secret is served for up to
// [Options].MaxStale, and a warning is logged. A secret that its backend
// reports as denied or not found is not served again. [Options].LastKnown
// extends this to a program that starts during an outage.
//
// A [Live] value is refreshed in the background. Callers never wait for it, and
// a rotated password does not require a restart.
//
// # The keyring
//
// A [Keyring] belongs to the application. It is unrelated to the keys/ directory
// of a product. It stores secrets by name and encrypts them with AES-256-GCM
// under data keys. The data keys can be rotated while readers and writers
// continue.
//
// Which store: use [FileStore] on one machine, and [SQLStore] for several nodes
// that share a PostgreSQL, MySQL or MariaDB database.
//
// Where to keep the root key: the root key encrypts (wraps) the data keys. Keep
// it apart from the database. If no root key is given, a FileStore creates one
// in a file next to the database, path.key. It is safer to keep the root key in
// Vault or AWS Secrets Manager, and to resolve it into KeyringOptions.RootKey.
//
// How to rotate on a schedule: call [Keyring.RotateIfOlder] from a timer, on one
// node or on all nodes; only one node rotates at a time. If a rotation is
// killed, nothing is lost and the next rotation completes it. Afterwards, call
// [Keyring.DeleteInactive] to delete the old keys.
//
// What an auditor can see: [Keyring.AuditLog] contains every change of the keys
// with its actor ([WithActor]), written in the transaction of the change. It
// also contains changes that were refused or failed. [Keyring.Keys] reports how
// many secrets each key protects, and [Keyring.Verify] decrypts every secret.
//
// # Backup and recovery of a keyring
//
// Back up the database and the root key, in two different places.
//
// Restoring a backup restores the secrets and the keys as they were when the
// backup was made, including keys that have been deleted since. Secrets whose
// key was deleted before the backup was made cannot be recovered.
//
// If the restored keyring fails with [ErrRootKey], it needs the root key that
// was in use when the backup was made. Do one of the following:
//
//   - restore the file path.key that belongs to the backup;
//   - pass that root key as KeyringOptions.RootKey;
//   - pass that root key as KeyringOptions.PreviousRootKey and the current one
//     as RootKey, then call [Keyring.ChangeRootKey] with the current one.
//
// If a keyring fails with [ErrCorrupt], [Keyring.Verify] names the damaged
// secrets. Restore each of them from a backup, store it again with
// [Keyring.Put], or delete it. A keyring file that is itself damaged is not
// written to; restore it from a backup.
//
// # Compatibility
//
// The module follows semantic versioning. Within a major version, from v1 on:
//
//   - A program that compiles continues to compile, and documented behavior
//     stays the same. Structs may get new fields, so write composite literals
//     with field names, and types may get new methods.
//   - A failure continues to match the same sentinel error, such as
//     [ErrNotFound]. It may match additional ones.
//   - A reference continues to parse, with the same meaning.
//   - A keyring that one version has written, with its record format and its
//     SQL schema, can be opened by all later versions. A later version may
//     convert it; an older version then refuses it with [ErrUnsupported] instead
//     of misreading it.
//
// The following may change in any version: the texts of errors and of log
// messages, the number and timing of requests to a backend, lock files and
// temporary files, and everything below internal/. A change that fixes a
// security problem, or a wrong password, may be made in any version.
//
// Before v1, a minor version may break these promises; a patch version does
// not. CHANGELOG.md lists every such change and what to do about it.
//
// # Deprecation
//
// The documentation of a name that should no longer be used gets a paragraph
// that begins with "Deprecated:" and names the replacement, and CHANGELOG.md
// gets an entry. From v1 on, the name works for the rest of the major version.
// Before v1, it works for at least one more minor version.
package secretref
