#!/bin/bash
# A real guest in a stock QEMU finds its memory right after each kind of restore,
# in short: a small guest, with two seeds.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
script=$2

for needed in qemu-system-x86_64 busybox cpio fincore python3 gcc apt-get; do
	command -v "$needed" >/dev/null || skip "$needed is not installed"
done
[ "$(dpkg-query -W -f='${db:Status-Status}' busybox-static 2>/dev/null)" = installed ] ||
	skip "busybox-static is not installed"

truncate -s 4K "$work/image"
run run --memory "/dev/shm/qemu-guest-test.$$=$work/image" --create -- "$(command -v true)"
rm -f "/dev/shm/qemu-guest-test.$$"
[ "$status" -ne 77 ] || skip "no permission for userfaultfd"

status=0
"$script" --lazymem "$program" --directory "$work" --memory 256 --in-use 48 --times 2 --balloon \
	--no-figures >"$work/output" 2>"$work/errors" || status=$?
! grep -q 'cannot download\|apt knows no package' "$work/errors" ||
	skip "the guest's kernel cannot be had: $(tail -n 1 "$work/errors")"
[ "$status" -eq 0 ] || fail "status $status"
[ "$(grep -c '^  *[12] right  ' "$work/output")" -eq 8 ] || fail "not every kind was shown"
