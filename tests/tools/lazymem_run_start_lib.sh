#!/bin/bash
# lazymem_run_start_lib.sh - what the tests of how `lazymem run` starts a program
# share. Sourced after lazymem_lib.sh. Files to be mapped lie in $memory, on a
# tmpfs, which is removed.

# shellcheck disable=SC2034,SC2154 # the tests use these; lib.sh has set those

# needs_run: skip where the command cannot run anything. Makes an image of a
# MiB, and $memory.
needs_run() {
	random "$work/image" 1048576
	[ -d /dev/shm ] && [ "$(stat -f -c %T /dev/shm)" = tmpfs ] || skip "/dev/shm is no tmpfs"
	memory=$(mktemp -d /dev/shm/tool-test.XXXXXX)
	trap 'rm -rf "$work" "$memory"' EXIT
	run run --create --memory "$memory/probe=$work/image" true
	if grep -q 'this build has no lazymem run' "$work/errors"; then
		[ "$status" -eq 1 ] && [ ! -e "$memory/probe" ] || fail "status $status without run"
		skip "built without lazymem run"
	fi
	[ "$status" -ne 77 ] || skip "no permission for userfaultfd"
	[ "$status" -eq 0 ] || fail "lazymem run true: status $status"
	rm "$memory/probe"
}

# empty NAME BYTES: a file in $memory that has no pages.
empty() {
	rm -f "$memory/$1"
	truncate -s "$2" "$memory/$1"
}
