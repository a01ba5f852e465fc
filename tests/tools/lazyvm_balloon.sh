#!/bin/bash
# What a guest has given back reads as zeros, then and after a restore; all else is as it was. The
# fifth argument: the kind of its memory.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
kind=$5
cd "$work"
needs_kvm
memory=64M
if [ "$kind" = hugetlb ]; then
	needs_hugetlb 32
	memory=$((huge_pages * 2))M
fi

start first run --memory "$memory" --vcpus 2 --kind "$kind" "$payloads/balloon"
await first.serial 2 'checked'
ask first snapshot before
ask first status
grep -qvE ' discarded=0 ' "$work/output" || fail "nothing was given back"
ask first quit
ends 0
sound first.serial

start second restore --kind "$kind" before
await second.serial 4 'checked'
sound second.serial

# bad_page_given_back FILE: the first bad page lies in the second 2 MiB.
bad_page_given_back() {
	local page
	page=$(sed -n 's/.*BAD page at //p' "$1" | sed -n 1p)
	[ "$((page / 2097152))" -eq 1 ] || fail "the wrong page: $(cat "$1")"
}

# Given back by the host: the guest finds what it has not written, and ends with status 1.
ask second discard 2M 2M
ends 1
bad_page_given_back second.serial

# Memory that was not there yet is not read from the snapshot after it was given back.
start third restore --paused --kind "$kind" before
await_socket third
ask third discard 2M 2M
refused third 'guest' discard 1024G 2M
refused third 'page' discard 2M 1
ask third resume
ends 1
bad_page_given_back third.serial
