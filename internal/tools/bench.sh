#!/bin/sh
# Runs the benchmarks of internal/bench and writes two files there: results.txt, the raw results,
# and RESULTS.md, the tables that benchstat makes of them.
#   bench.sh           runs every benchmark ROUNDS times (default 8, with fewer than 6 benchstat
#                      gives no confidence interval), which takes about a quarter of an hour
#   bench.sh -tables   writes RESULTS.md again from the results.txt that is there
# If a benchmark fails, both files stay as they are; the results so far are in results.txt~.
set -eu
cd "$(dirname "$0")"
benchstat=$(go tool -n benchstat)
cd ../bench

peers='github.com/aws/aws-sdk-go-v2 github.com/aws/aws-sdk-go-v2/service/secretsmanager
github.com/hashicorp/vault/api github.com/helmfile/vals github.com/tailscale/setec gocloud.dev
github.com/go-openapi/jsonpointer github.com/dolmen-go/jsonptr github.com/go-json-experiment/json
github.com/tidwall/gjson github.com/bytedance/sonic github.com/tink-crypto/tink-go/v2
github.com/magiconair/properties go.etcd.io/bbolt github.com/jackc/pgx/v5
github.com/go-sql-driver/mysql'

measure() {
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	# Of the peer with dozens of backends, build only those that are compared.
	go test -c -tags custom_providers,aws,vault -o "$dir/bench.test" .
	echo "date: $(date -u +%F)"
	echo "go: $(go env GOVERSION)"
	echo "commit: $(git describe --always --dirty 2>/dev/null || echo unknown)"
	echo "system: $(uname -sr), $(nproc) processors"
	go list -m -f 'module-{{.Path}}: {{.Version}}' $peers
	# Rounds instead of -test.count: when the machine is slow for a minute, all contenders are.
	for round in $(seq "${ROUNDS:-8}"); do
		echo "round $round of ${ROUNDS:-8}" >&2
		run '^Benchmark(Resolve|Mixed)$' 200ms
		run '^Benchmark(Warm|Pointer|Seal|Open|Properties)$' 100ms
		run '^Benchmark(Startup|Init|InitPackage)$' 20x
	done
	run '^BenchmarkRotate$' 1x "-test.count=${ROUNDS:-8}" # its preparation takes long
}

run() { # run BENCHMARKS BENCHTIME [FLAG]
	"$dir/bench.test" -test.run '^$' -test.timeout 1h -test.bench "$1" -test.benchtime "$2" \
		-programs "$dir" ${3:-}
}

tables() {
	cat <<-'END'
		# Benchmark results

		Written by `make bench`; do not edit. The raw results are in results.txt, the benchmarks are
		described in doc.go. Each row is the median of all rounds; the interval around it contains the
		true median with 95 % confidence. Treat smaller differences as noise.

		Names begin with `secretref` for this library, with `limit` for what bounds all contenders, with
		`byhand` for code written for this work only, and with `other` for work that is not the same;
		all others are peers.
	END
	fence "$(grep -E '^((module|version|absent)-[^:]*|date|go|commit|system|cpu):' results.txt~ | sort -u)"
	section Resolve 'sec/op calls/op B/op allocs/op' 'Resolving from a cold start' \
		'Each iteration begins with a new client and no open connection. The servers run in the same
process and wait 5 ms before each answer. *sequential* resolves one reference after the other;
*goroutines* resolves them from 100 goroutines or with one call of ResolveAll.'
	section Mixed 'sec/op calls/op B/op allocs/op' 'References to several places' \
		'Three regions of AWS and two Vaults, four references to each secret, from a cold start. gocloud
does not support Vault and is left out.'
	section Warm 'sec/op allocs/op' 'Reading a secret from memory' \
		'With two cores, two goroutines read; the time is per read of both together.'
	section Pointer 'sec/op allocs/op' 'JSON Pointer' \
		'From unparsed JSON to the string that is its last member. sonic does not validate what it skips.'
	section 'Seal OR Open' 'sec/op allocs/op' 'Sealing and opening' 'AES-256-GCM.'
	section Rotate 'sec/op heap-B/op' 'Rotating the key of a keyring' \
		'Secrets of 32 bytes. *limit-rewrite* writes random bytes into the same rows, over one connection
and in transactions of the same size. PostgreSQL and MariaDB run without fsync, the file with it. tink
has no store: it re-encrypts what is in memory. heap-B is the growth of the live heap.'
	section Properties 'sec/op allocs/op' 'Reading .properties files' ''
	section Startup 'sec/op size-B modules' 'Starting a program' \
		'Programs that import a library and do nothing else: run time, size without symbols, modules.'
	section 'Init OR InitPackage' 'sec/op B/op allocs/op packages' 'Initializing packages' \
		'What GODEBUG=inittrace=1 reports for the same programs, and for single packages of the program
that imports this library: those that allocate 4 KiB or more, and all of the library together.'
}

section() { # section BENCHMARKS UNITS TITLE TEXT
	printf '\n## %s\n' "$3"
	[ -z "$4" ] || printf '\n%s\n' "$4"
	for unit in $2; do
		# The geometric mean over different kinds of work has no meaning.
		fence "$("$benchstat" -table goos -filter ".name:($1) .unit:$unit" results=results.txt~ |
			sed '1d; /^geomean/d; /summaries must be/d')"
	done
}

fence() { printf '\n```\n%s\n```\n' "$1"; }

if [ "${1:-}" = -tables ]; then
	cp results.txt results.txt~
else
	measure >results.txt~
fi
tables >RESULTS.md~
mv RESULTS.md~ RESULTS.md
mv results.txt~ results.txt
