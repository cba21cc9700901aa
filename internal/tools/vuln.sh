#!/bin/sh
# Runs govulncheck over the modules given as arguments. A required module with a known
# vulnerability is a failure even if the code does not call it; for the standard library
# only what is called counts.
# VULNDB is the database: a folder, or a URL; default: the Go project's.
# With -if-reachable, a database that cannot be reached is reported and is not a failure.
set -eu
optional=
[ "${1:-}" != -if-reachable ] || { optional=1 && shift; }
cd "$(dirname "$0")"
tool=$(go tool -n govulncheck)
cd ../..
db=${VULNDB:-https://vuln.go.dev}
case $db in
*://*) ;;
*) db=file://$(cd "$db" && pwd) ;;
esac
failed=
for module in "$@"; do
	echo "$module: govulncheck"
	status=0
	out=$(cd "$module" && "$tool" -db "$db" -show verbose ./... 2>&1) || status=$?
	case $out in
	*"fetching vulnerabilities"*)
		echo "$out"
		[ -n "$optional" ] || exit 1
		echo "the vulnerability database $db cannot be reached: not checked (set VULNDB to a local copy)"
		exit 0
		;;
	*"Module: "*) status=1 ;;
	esac
	[ "$status" = 0 ] || { echo "$out" && failed="$failed $module"; }
done
[ -z "$failed" ] || { echo "failed in:$failed (govulncheck)" >&2 && exit 1; }
