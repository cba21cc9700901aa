#!/bin/sh
# Runs a shell command in each module, also after one has failed, and then names those that failed:
#   each.sh COMMAND MODULE...
set -u
cd "$(dirname "$0")/../.."
command=$1 failed=
shift
for module in "$@"; do
	echo "$module: $command"
	flags=${GOFLAGS:-}
	# Of the peer with dozens of backends, build only those that are compared.
	[ "$module" != internal/bench ] || flags="$flags -tags=custom_providers,aws,vault"
	(cd "$module" && GOFLAGS=$flags && export GOFLAGS && sh -c "$command") || failed="$failed $module"
done
[ -z "$failed" ] || { echo "failed in:$failed ($command)" >&2 && exit 1; }
