#!/bin/bash
# lib.sh - what the tests of the tools share. Each one is run with the program
# as its argument. Work happens in $work, which is removed.

# shellcheck disable=SC2034 # the tests use these
program=$1
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tool-test.XXXXXX")
status=0
trap 'rm -rf "$work"' EXIT

# fail MESSAGE...: end the test.
fail() {
	printf '%s\n' "$*" >&2
	cat "$work/errors" "$work/output" >&2 2>/dev/null || true
	exit 1
}

# skip REASON...: not to be run here.
skip() {
	printf 'skipped: %s\n' "$*"
	exit 77
}

# run ARGUMENT...: run the program; its status, output and errors are kept.
run() {
	status=0
	"$program" "$@" >"$work/output" 2>"$work/errors" || status=$?
}

# succeeds ARGUMENT...
succeeds() {
	run "$@"
	[ "$status" -eq 0 ] || fail "status $status, not 0: $*"
}

# refuses STATUS TEXT ARGUMENT...: ends with that status and one message of the
# program that has TEXT in it, before anything is measured.
refuses() {
	local expected=$1 text=$2
	shift 2
	run "$@"
	[ "$status" -eq "$expected" ] || fail "status $status, not $expected: $*"
	grep -qF -- "$text" "$work/errors" || fail "no message with '$text': $*"
	! grep -qv "^$(basename "$program"): " "$work/errors" || fail "a message without our name: $*"
	[ ! -s "$work/output" ] || fail "something was measured first: $*"
}

# needs_userfaultfd: skip where the program is refused it.
needs_userfaultfd() {
	run --memory 4K --repeat 1 floor
	[ "$status" -ne 77 ] || skip "no permission for userfaultfd"
}
