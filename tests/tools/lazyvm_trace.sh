#!/bin/bash
# A guest touches the pages of a trace, in fresh memory and in memory that is restored on demand. The
# fifth argument is make_file.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

make_file=$5

# 300 pages at the end of the lower region, 200 in the upper one, and some where no memory is.
"$make_file" trace trace 4096 - $((30 << 20)) $((300 * 4096)) 0x100000000 $((200 * 4096)) \
	0xc0000000 0x10000
start first run --memory 64M --vcpus 2 --argument 0 --trace trace "$payloads/trace"
await first.serial 4 'touched 250 pages'
ask first snapshot snapshot
ask first quit
ends 0

start second restore --kind memfd snapshot
await second.serial 4 'touched 250 pages'
ask second status
present=$(sed -n 's/.* pages-present=\([0-9]*\) .*/\1/p' "$work/output")
[ "$present" -ge 500 ] || fail "only $present pages are there"
ask second quit
ends 0

# Written, and the snapshot after that is a layer of those pages and few others.
start third run --memory 64M --argument 0 --argument 1 --trace trace "$payloads/trace"
await third.serial 2 'touched 500 pages'
ask third snapshot base
await third.serial 6 'touched 500 pages'
ask third snapshot layer
written=$(sed -n 's/^layer .* written=//p' "$work/output")
[ "$written" -ge $((500 * 4096)) ] && [ "$written" -lt $((600 * 4096)) ] ||
	fail "the layer has $written bytes"
ask third quit
ends 0
