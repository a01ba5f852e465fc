#!/bin/bash
# Nothing is left behind, however it ends, and no progress is shown in a pipe.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

# left DIRECTORY: fail if something is in it.
left() {
	[ -z "$(ls -A "$1")" ] || fail "left behind: $(ls -A "$1")"
}

mkdir "$work/images"
succeeds --directory "$work/images" --memory 4M --repeat 1 kernel eager
left "$work/images"
[ ! -s "$work/errors" ] || fail "progress was shown in a pipe"

# interrupted SIGNAL SECONDS ARGUMENT...: the signal comes in the middle of it. A
# shell starts background jobs with SIGINT ignored; so not as one.
interrupted() {
	local signal=$1 seconds=$2
	shift 2
	status=0
	timeout --preserve-status --signal="$signal" "$seconds" "$program" "$@" \
		>"$work/output" 2>"$work/errors" || status=$?
	[ "$status" -gt 128 ] || fail "SIG$signal did not end it: status $status: $*"
	left "$work/images"
}

for signal in INT TERM KILL; do
	interrupted $signal 0.2 --directory "$work/images" --memory 4G kernel
	interrupted $signal 3 --directory "$work/images" --memory 16M --repeat 10000 kernel eager
done
for signal in INT TERM; do
	interrupted $signal 0.3 --make-image "$work/images/big" --memory 64G
done

# While a snapshot is written, and while it is used. The first engine that gets
# ready has a name for its file only that long.
run --memory 4K --repeat 1 floor
[ "$status" -ne 77 ] || exit 0
for signal in INT TERM; do
	for seconds in 0.3 1 1.5 2; do
		interrupted $signal $seconds --directory "$work/images" --memory 32M --repeat 10000 \
			lazymem-prefetch lazymem-snapshot
	done
done
