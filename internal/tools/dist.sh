#!/bin/sh
# Builds static binaries of the command into dist/, with their checksums.
# VERSION names them (default: what git describes).
set -eu
cd "$(dirname "$0")/../.."
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}
rm -rf dist
mkdir dist
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
	os=${target%/*} arch=${target#*/} suffix=
	[ "$os" = windows ] && suffix=.exe
	out=../../dist/secretref_${version}_${os}_${arch}${suffix}
	echo "$out"
	(cd cmd/secretref && CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath \
		-ldflags "-s -w -X main.version=$version" -o "$out" .)
done
cd dist
sha256sum secretref_* >SHA256SUMS
cat SHA256SUMS
