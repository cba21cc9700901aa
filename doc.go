// Package secretref turns secret references into secrets.
//
// A secret reference is what Atlassian Data Center products keep in their
// configuration files instead of a password: the JSON coordinates of where it
// is.
//
//	{ENC}{"region":"ap-southeast-2","secretId":"mySecretId","secretPointer":"/password"}
//	{ENC}{"mount":"secret","path":"sample/secret","key":"password","endpoint":"https://vault.example.com"}
//	{ENC}{"keyring":"jdbc-password"}
//
// The first names a secret in AWS Secrets Manager, the second a key in a KV
// version 2 engine of HashiCorp Vault, the third a secret in a [Keyring].
//
// # Which function do I want
//
//   - A password from a variable or a configuration of your own:
//     [Resolver.Resolve]; several of them: [Resolver.ResolveAll].
//   - All [Secret] fields of a configuration struct: [Resolver.ResolveStruct].
//   - References inside other text, such as a connection string:
//     [Resolver.Expand].
//   - The database password that Jira, Confluence, Bitbucket, Bamboo or Crowd
//     uses: [ReadConfig], then [Resolver.ResolveConfig]; to open that database:
//     [Database.DataSource].
//   - A password that is rotated while the program runs: [Resolver.Watch];
//     user name and password together: [Resolver.WatchAll]; for database/sql:
//     [Connector]; for any other login: [Try].
//   - To keep secrets without any cloud: [OpenKeyring], [Keyring.Put], and
//     [Options].Keyring to resolve references to them.
//   - To rotate keys: [Keyring.Rotate], [Keyring.RotateIfOlder]; over HTTP:
//     [Keyring.Handler].
//   - To look at a reference without resolving it: [Parse].
//   - In tests of your program: [NewFake].
//
// # What to expect
//
// A value that nobody meant as a reference is plaintext and is returned as it
// is, so that a program can resolve every password it has. A value that was
// meant as one and has a mistake is an error, never a password. Many references
// into one secret are one fetch. Transient failures are tried again until the
// context or [Options].Timeout ends; everything else fails at once with an
// error that names the place, the reference, the cause and what mends it. A
// [Secret] redacts itself wherever it is printed or encoded; only
// [Secret.Reveal] returns its text.
//
// # In production
//
// A fetched secret is handed out from memory for [Options].TTL. When it cannot
// be fetched again because its backend is unavailable, the last good one is
// used up to MaxStale, with a warning; never one that is denied or not found.
// With LastKnown that holds for the start of the program, too. A [Live] is
// renewed in the background, so that nobody waits for it and a rotated password
// needs no restart.
//
// # The keyring
//
// A [Keyring] is the application's own, and not the keys/ folder of a product.
// It stores secrets by name, sealed with AES-256-GCM under keys that can be
// rotated, while readers and writers go on.
//
// Which store: [FileStore] for one machine, [SQLStore] for several nodes that
// share a PostgreSQL, MySQL or MariaDB.
//
// Where the root key should live: the keys are wrapped by a root key, which
// should be kept apart from the database. A FileStore makes path.key beside it
// if none is given; better, resolve a reference to Vault or AWS and give that.
//
// How to rotate on a cadence: call [Keyring.RotateIfOlder] from a timer, on one
// node or on all; only one of them rotates. A rotation that is killed loses
// nothing, and the next one finishes it. Then [Keyring.DeleteInactive].
//
// What evidence there is: [Keyring.AuditLog] has every change of keys, written
// in the transaction of the change, with who made it ([WithActor]); also those
// that were refused or failed. [Keyring.Keys] shows what each key is needed
// for, [Keyring.Verify] opens every secret.
//
// What a backup must contain: the database, and in another place the root key.
// Restoring one brings keys back that were deleted after it was made, and the
// secrets as they were; what was sealed with keys deleted before is gone.
//
// How to recover: after ErrRootKey put the path.key of then back, or give the
// root key of then as RootKey, or as PreviousRootKey and call
// [Keyring.ChangeRootKey]; after ErrCorrupt, Verify names
// the secrets to be restored, stored again or deleted; a damaged file is not
// written to and has to be restored.
package secretref
