#!/bin/bash
# A damaged or truncated snapshot is refused, or its damage is found by verify,
# and export delivers nothing.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

random image 262144
echo "the state of the monitor" >state
succeeds create --blob vm=state image snapshot
succeeds verify snapshot
grep -q 'no damage' "$work/output" || fail "verify does not say that it is content"

# flip FILE OFFSET: the bits of one byte.
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059 # the byte is the format
	printf "\\x$(printf %x $((byte ^ 255)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# The data of a raw snapshot come right behind the header.
cp snapshot damaged
flip damaged $((4096 + 5 * 4096 + 17))
flip damaged $((4096 + 9 * 4096))
for threads in 1 4; do
	run verify --threads $threads damaged
	[ "$status" -eq 1 ] || fail "status $status, not 1"
	[ "$(wc -l <"$work/output")" -eq 2 ] || fail "not one line for each damage"
	grep -q '^damaged: guest memory \[0x5000+0x1000\], at byte 24576 of the file: damaged' \
		"$work/output" || fail "the damaged page is not named"
	[ "$(wc -l <"$work/errors")" -eq 1 ] || fail "not one message"
done
cp image before
refuses 1 'damaged' export damaged before
same image before
[ "$(find . -name 'before*' | wc -l)" -eq 1 ] || fail "something was left behind"

# A blob.
offset=$(grep -obUa 'state of the monitor' snapshot | cut -d: -f1)
cp snapshot damaged
flip damaged "$offset"
run verify damaged
[ "$status" -eq 1 ] || fail "status $status, not 1"
grep -q 'blob "vm"' "$work/output" || fail "the blob is not named"

# The header, and a file that is cut off.
cp snapshot damaged
flip damaged 40
for command in verify info; do
	refuses 1 'damaged' $command damaged
done
for length in 8 4096 5000 "$(($(wc -c <snapshot) - 4096))"; do
	head -c "$length" snapshot >"cut"
	refuses 1 'cut' verify cut
	refuses 1 'cut' export cut other
done
[ ! -e other ] || fail "something was written"

refuses 1 'image: is no snapshot (raw)' verify image
refuses 1 'nosuch: No such file' verify nosuch
refuses 1 'Is a directory' verify .
