// Package bench measures secretref beside its peers: the same work, in the same
// process, against the same fake servers, one after the other. All of it is in
// the tests; the report tool runs them and writes RESULTS.md and two plots:
//
//	go run ./report             all of it, eight times, about a quarter of an hour
//	go run ./report -quick      all of it once, as short as possible
//	go test -tags custom_providers,aws,vault -bench Pointer
//
// The tags leave out what vals has beside AWS and Vault; without them everything
// works as well and takes minutes longer to build. Benchmarks of databases that
// are not installed are skipped, and fail if the environment variable CI is set.
//
// Each benchmark is named Benchmark<family>/<work>/…/<who>. How who is named
// says what it is for the report:
//
//	secretref…   this library
//	limit-…      what the machine cannot do faster: one round trip, bare AES-GCM, …
//	byhand-…     what one would have to write by hand for this very work
//	other-…      shown, but not the same work (it validates less, stores nothing, …)
//	anything else: a peer
//
// A wrong answer fails the benchmark: every one is compared with the right one
// where secrets are resolved or pointed to, and elsewhere once, since comparing
// would cost as much as what is measured. Cold means that each iteration begins with a new client, so that
// configuration, connections and logins are part of the work.
package bench
