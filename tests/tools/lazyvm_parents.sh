#!/bin/bash
# A guest that was restored from a layer whose parents are not where it says has snapshots as any other.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

mkdir one two elsewhere
start first run --memory 8M --vcpus 2 --argument 0 --argument 16 "$payloads/writer"
await first.serial 2 'ended sweep'
ask first snapshot one/base
await first.serial 6 'ended sweep'
ask first snapshot two/layer
ask first quit
ends 0
mv one/base elsewhere/base
refuses 1 'base' restore two/layer

start second restore two/layer elsewhere/base
await second.serial 2 'ended sweep'
ask second snapshot two/next
grep -q '^layer ' "$work/output" || fail "no layer"
await second.serial 4 'ended sweep'
ask second snapshot two/last
refused second 'depends on this file' snapshot elsewhere/base
ln -s ../elsewhere/base two/link
refused second 'depends on this file' snapshot two/link
ask second quit
ends 0

start third restore two/last two/next two/layer elsewhere/base
await third.serial 4 'ended sweep'
ask third quit
ends 0
sound ./*.serial

# Its state is not written over a snapshot.
mv elsewhere/base one/base
cp two/layer kept
for file in two/layer one/base; do
	refuses 1 'is the snapshot, or a parent of it' state two/layer "$file"
done
cmp kept two/layer || fail "the snapshot was written over"
