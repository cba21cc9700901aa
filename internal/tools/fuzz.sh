#!/bin/sh
# Runs every fuzz target of the root module for a while each.
# FUZZTIME sets how long (default 30s).
set -eu
cd "$(dirname "$0")/../.."
for dir in $(grep -rl --include='*_test.go' --exclude-dir=examples --exclude-dir=cmd --exclude-dir=e2e '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
		echo "$dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" -fuzzminimizetime 20x "$dir"
	done
done
