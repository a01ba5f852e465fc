#!/bin/bash
# A signal leaves the old file, or the new one, and nothing beside it; and no
# progress is shown in a pipe.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 64
succeeds create image old
[ ! -s "$work/errors" ] || fail "progress was shown in a pipe"
mkdir directory
head -c 400M /dev/urandom >big

# interrupted SIGNAL SECONDS ARGUMENT...: the output is directory/out, and was
# `old` before. A shell starts background jobs with SIGINT ignored; so not as one.
interrupted() {
	local signal=$1 seconds=$2
	shift 2
	cp old directory/out
	status=0
	timeout --preserve-status --signal="$signal" "$seconds" "$program" "$@" \
		>"$work/output" 2>"$work/errors" || status=$?
	[ "$(ls -A directory)" = out ] || fail "left behind: $(ls -A directory)"
	[ "$status" -ne 0 ] || return 1
	[ "$status" -gt 128 ] || fail "SIG$signal did not end it: status $status: $*"
	grep -q 'interrupted' "$work/errors" || fail "it does not say that it was interrupted"
	same old directory/out
}

# Somewhere between too early and too late.
for signal in INT TERM HUP; do
	interrupted $signal 0.1 create big directory/out || true
	interrupted $signal 0.1 export big directory/out || true
done
interrupted INT 0.1 create --compress zstd --level 19 big directory/out ||
	fail "it was too fast to be interrupted"

# A full disk.
if [ "$(id -u)" -eq 0 ] && mkdir small && mount -t tmpfs -o size=1M none small 2>/dev/null; then
	refuses 1 'No space left' create big small/out
	refuses 1 'No space left' export big small/out
	left=$(ls -A small)
	umount small
	[ -z "$left" ] || fail "left behind: $left"
fi
