// Package bench compares secretref with its peers: the same work, in the same process, against the
// same fake servers, one after the other.
//
//	make bench        all benchmarks, eight rounds, about a quarter of an hour; writes RESULTS.md
//	make bench-once   every benchmark for one iteration, to see that it works
//	go test -tags custom_providers,aws,vault -bench Pointer
//
// The tags leave out the backends of vals other than AWS and Vault; without them the build takes
// minutes longer. Benchmarks of databases that are not installed are skipped, or fail if the
// environment variable CI is set.
//
// Each benchmark is named Benchmark<family>/<work>/…/<contender>. The prefix of the contender's
// name says what it is:
//
//	secretref…   this library
//	limit-…      a lower bound on this machine: one round trip, bare AES-GCM, …
//	byhand-…     code written for this work only
//	other-…      not the same work: it validates less, stores nothing, …
//	other names  a peer
//
// A wrong answer fails the benchmark. Answers are compared with the right ones in every iteration
// where secrets are resolved or pointers evaluated, and once elsewhere, where comparing would cost
// as much as the measured work. In a cold benchmark each iteration begins with a new client, so
// configuration, connections and logins are part of the work.
package bench
