#!/bin/bash
# A file system that is full, or that has no O_DIRECT, is named before anything
# is measured, and nothing is left on it.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

if [ -z "${OWN_MOUNTS:-}" ]; then
	unshare -m true 2>/dev/null || skip "no mounts of our own: CAP_SYS_ADMIN"
	rm -rf "$work"
	OWN_MOUNTS=yes exec unshare -m bash "$0" "$@"
fi
needs_userfaultfd
directory=$work/mount
trap 'umount -l "$directory" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$directory"

# fails_in TEXT ARGUMENT...: status 1, a message with TEXT, and nothing is left.
fails_in() {
	local text=$1
	shift
	run --directory "$directory" --memory 4M --repeat 1 "$@"
	[ "$status" -eq 1 ] || fail "status $status, not 1: $*"
	grep -q -- "$text" "$work/errors" || fail "no message with '$text': $*"
	! grep -q '^engine' "$work/output" || fail "something was measured first: $*"
	[ -z "$(ls -A "$directory")" ] || fail "left behind: $(ls -A "$directory")"
}

mount -t tmpfs -o size=5M none "$directory"
fails_in 'engine lazymem-snapshot: .*No space left' lazymem-snapshot
fails_in 'engine lazymem-verified: .*No space left' kernel lazymem-verified
fails_in 'No space left' --memory 8M kernel
fails_in 'No space left' reap
umount -l "$directory"

mount -t ramfs none "$directory"
if ! dd if=/dev/zero of="$directory/probe" bs=4096 count=1 oflag=direct 2>/dev/null; then
	rm -f "$directory/probe"
	fails_in 'engine reap cannot read with O_DIRECT' reap
fi
umount -l "$directory"
