#!/bin/bash
# A guest with two vCPUs is snapshotted, restored on demand, and finds all of its memory as it
# was. The fifth argument: the kind of its memory.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
kind=$5
cd "$work"
needs_kvm
memory=$large
if [ "$kind" = hugetlb ]; then
	needs_hugetlb 512
	memory=$((huge_pages * 2))M
fi

start first run --memory "$memory" --vcpus 2 --kind "$kind" --argument 0 "$payloads/fill"
await_each first.serial filled
ask first snapshot snapshot
grep -q '^whole ' "$work/output" || fail "the first snapshot is no whole one"
ask first quit
ends 0
sound first.serial

# On demand, from where it was: it never fills anew, and its rounds go on.
start second restore --kind "$kind" snapshot
await_each second.serial checked
ask second status
grep -qE "state=running vcpus=2 .*kind=$kind " "$work/output" || fail "another machine"
ask second quit
ends 0
sound second.serial
checked_as_filled first.serial second.serial
grep -q 'first instruction after [0-9]* us' second.errors || fail "not said how long it took"
