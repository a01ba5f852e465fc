#!/bin/bash
# A snapshot and its parent in NBD exports: they are described, verified, exported and merged as
# files are, and layers are written over them.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
servers=()
trap 'end_servers; rm -rf "$work"' EXIT
cd "$work"

end_servers() {
	local server
	for server in "${servers[@]}"; do
		kill -KILL "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	done
}

command -v nbdkit >/dev/null || skip "nbdkit is not installed"
run info "nbd+unix:///?socket=$work/none"
! grep -q 'without libnbd' errors || skip "this build has no libnbd"

# serve FILE: as an export that is 5000 bytes longer than the file; its URI is in $uri.
serve() {
	local tries
	truncate -s +5000 "$1"
	nbdkit --foreground --exit-with-parent --readonly --unix "$work/$1.socket" \
		--pidfile "$work/$1.pid" file "$1" >/dev/null 2>&1 &
	servers+=($!)
	for ((tries = 0; tries < 10000; tries++)); do
		[ ! -s "$1.pid" ] || break
		sleep 0.02
	done
	uri="nbd+unix:///?socket=$work/$1.socket"
}

mixed image 256
cp image changed
head -c 40960 /dev/urandom >random
place random changed 100
compress=none
! has_compression zstd || compress=zstd
succeeds create --compress "$compress" --blob "state=random" image base
succeeds diff base changed layer
serve base
base=$uri
serve layer
layer=$uri
succeeds create changed stranger
serve stranger
stranger=$uri
refuses 1 'the header speaks of a file of' info base

# By itself, and with its parent.
is "$base" .format '"snapshot"'
is "$base" .memory_bytes 1048576
is "$base" '.blobs[0].name' '"state"'
exports "$base" image
refuses 1 'its parent, base, is not given' info "$layer"
refuses 1 'is not the parent that' verify --parent "$stranger" "$layer"
refuses 1 'which has none' verify --parent "$layer" "$base"
refuses 1 'is not the parent that' verify --parent "$layer" "$layer"
refuses 1 'which has none' verify --parent "$base" --parent "$base" "$layer"
refuses 1 'No such file' verify --parent "$work/nosuch" "$layer"
succeeds info --parent "$base" "$layer"
grep -q "layer 1: $base" output || fail "the parent is not told"
succeeds verify --parent "$base" "$layer"
succeeds export --parent "$base" "$layer" flat
same changed flat
succeeds merge --parent "$base" "$layer" merged
exports merged changed
refuses 1 '--parent does not go with image' export --parent "$base" image flat

# A layer over an export says so, and nobody connects to it without being told to.
cp image third
place random third 7
succeeds create --parent "$base" third over
refuses 1 "its parent is $base, which is no file" info over
refuses 1 "its parent is $base, which is no file" export over flat
[ "$("$program" info --json --parent "$base" over | jq -r '.layers[0].parent_path')" = "$base" ] ||
	fail "the layer does not say where its parent is"
succeeds export --parent "$base" over flat
same third flat

# Damage is found in an export as in a file.
length=$(member "$base" '.layers[0].file_bytes')
cp base broken
printf '\377\377\377\377' | dd of=broken bs=1 seek=4200 conv=notrunc status=none
truncate -s "$length" broken
serve broken
run verify "$uri"
[ "$status" -eq 1 ] || fail "damage is not found"
grep -qE 'damaged|checksum' output errors || fail "damage is not told"

