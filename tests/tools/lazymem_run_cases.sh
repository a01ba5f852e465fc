#!/bin/bash
# lazymem_run_cases.sh - what the tests of `lazymem run` share. Sourced after
# lazymem_lib.sh; the third argument of a test is run_program, which is first run
# on a full copy of the image, without us: what it finds right there, it must find
# right of a file that is filled lazily.

# shellcheck disable=SC2034,SC2154 # the tests use these; lib.sh has set those
run_program=$3
seed=7
length=4190216 # less than a page in the last page
size=4194304
shared_memory=$(mktemp -d /dev/shm/tool-test.XXXXXX) || skip "no /dev/shm"
memory=$shared_memory/memory
plain=$shared_memory/plain
trap 'rm -rf "$work" "$shared_memory"' EXIT
[ "$(stat -f -c %T "$shared_memory")" = tmpfs ] || skip "/dev/shm is no tmpfs"

# make_image FILE [LAYER LAYERS]
make_image() {
	local file=$1
	shift
	rm -f "$file"
	"$run_program" make "$file" "$length" "$seed" "$@" || fail "no image"
}

# full_copy FILE: what a restore that loads everything would make.
full_copy() {
	rm -f "$1"
	truncate -s "$size" "$1"
	"$run_program" make "$1" "$length" "$seed" || fail "no copy"
}

# plainly CASE: without us. Output (whose lines may come in any order), status and the file afterwards are kept.
plainly() {
	full_copy "$memory"
	plain_status=0
	# The shell says to its own stderr that a program was killed.
	{
		timeout 200 "$run_program" "$1" "$memory" "$length" "$seed" </dev/null \
			>"$work/output" 2>"$work/errors" || plain_status=$?
	} 2>/dev/null
	sort "$work/output" >"$work/plain_output"
	[ ! -s "$work/errors" ] || fail "$1 does not hold without us"
	mv "$memory" "$plain"
}

# runs IMAGE OPTION... -- PROGRAM ARGUMENT...: in place of the memory an empty file.
runs() {
	local image=$1
	shift
	rm -f "$memory"
	status=0
	{
		timeout 200 "$program" run --memory "$memory=$image" --create "$@" </dev/null \
			>"$work/output" 2>"$work/errors" || status=$?
	} 2>/dev/null
	[ "$status" -ne 77 ] || skip "$(cat "$work/errors")"
}

# lazily CASE IMAGE OPTION...: as without us, on stdout, too, and silently.
lazily() {
	local name=$1 image=$2
	shift 2
	runs "$image" "$@" -- "$run_program" "$name" "$memory" "$length" "$seed"
	[ "$status" -eq "$plain_status" ] ||
		fail "$name $*: status $status, not $plain_status"
	[ ! -s "$work/errors" ] || fail "$name $*: not silent"
	sort "$work/output" | diff "$work/plain_output" - >&2 || fail "$name $*: other output"
}

# same_file CASE: the file afterwards, if it has been completed.
same_file() {
	cmp "$plain" "$memory" >&2 || fail "$1: the file is another one afterwards"
}

# both CASE [OPTION...]: without us, and with us to the end.
both() {
	local name=$1
	shift
	plainly "$name"
	lazily "$name" "$work/image" --complete "$@"
	same_file "$name"
}

# holds CASE [OPTION...]: as `both`, but the file is left as it is.
holds() {
	local name=$1
	shift
	plainly "$name"
	lazily "$name" "$work/image" "$@"
}

# until_says TEXT FILE: the program has come so far.
until_says() {
	local tries
	for ((tries = 0; tries < 10000; tries++)); do
		! grep -qs "$1" "$2" || return 0
		sleep 0.01
	done
	fail "the program does not say: $1"
}

# keeps_image FUNCTION: whatever it does, the image stays as it is.
keeps_image() {
	local before
	before=$(sha256sum "$work/image")
	"$@"
	[ "$(sha256sum "$work/image")" = "$before" ] || fail "the image has changed"
}
