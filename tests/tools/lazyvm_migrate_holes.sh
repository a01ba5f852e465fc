#!/bin/bash
# What the guest has never used is not sent, not made on the way, and zeros where it arrives: also when
# it goes on to a third process, in a round, and to a fourth, with memory of another kind. The sixth
# argument: the kind of its memory; the seventh: make_file.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
kind=$6
make_file=$7
cd "$work"
needs_network
memory=20M
most=$((1 << 20))
if [ "$kind" = hugetlb ]; then
	# Two processes have them at a time, and one that has ended may not have given all back yet. What
	# other tests have is free before long.
	for ((tries = 0; tries < 60; tries++)); do
		needs_hugetlb 32
		[ "$huge_pages" -lt 24 ] || break
		sleep 1
	done
	[ "$huge_pages" -ge 24 ] || skip "less than 32 huge pages of 2 MiB are free"
	memory=$((huge_pages / 6 * 4))
	# The payload and its pages take no more than half.
	most=$(((memory << 20) / 4 * 3))
	memory=${memory}M
fi

# used NAME: bytes that are there of the memory of its guest.
used() {
	awk '/^[0-9a-f]+-/ { guest = /lazyvm guest/ }
		guest && /^(Rss|Shared_Hugetlb|Private_Hugetlb):/ { sum += $2 }
		END { print sum * 1024 }' "/proc/${pid[$1]}/smaps"
}

# uses_little NAME
uses_little() {
	[ "$(used "$1")" -gt 0 ] || fail "nothing of the memory of $1 is to be seen"
	[ "$(used "$1")" -le $most ] || fail "the $1 has made $(used "$1") bytes of memory"
}

# hop FROM TO KIND TIMES [OPTION...]: and little is sent, so often.
hop() {
	local from=$1 to=$2 kind=$3 times=$4
	shift 4
	: >"$to.serial"
	run_in "$right" "$to" "$program" receive --listen $there:0 --kind "$kind" \
		--control "$to.socket" --serial "$to.serial"
	await "$to.output" 1 '^listening on port'
	ask "$from" migrate "$@" "$there:$(sed 's/.* //' "$to.output")"
	received=$(sed -n 's/.* received=\([0-9]*\) .*/\1/p' "$work/output")
	ended "$from" 0
	last_guest=${pid[$to]}
	await "$to.serial" 2 'touched 16 pages'
	[ "$received" -gt 0 ] || fail "nothing was sent to the $to"
	[ "$received" -le $((most * times)) ] || fail "$received bytes were sent to the $to"
	uses_little "$to"
}

# 16 pages in the upper region, behind the first of them nothing.
"$make_file" trace trace 4096 - 0x100000000 $((16 * 4096))
: >source.serial
run_in "$right" source "$program" run --memory "$memory" --control source.socket \
	--serial source.serial --argument 0 --argument 1 --trace trace "$payloads/trace"
await source.serial 2 'touched 16 pages'
ask source snapshot before
quits source
: >source.serial
run_in "$right" source "$program" restore --kind "$kind" --control source.socket \
	--serial source.serial before
await source.serial 2 'touched 16 pages'
uses_little source
hop source second "$kind" 1
hop second third "$kind" 2 --rounds 1
hop third fourth memfd 1
ask fourth snapshot after
quits fourth
"$lazymem" export after memory

# The guest has written to each page its address, and nothing elsewhere but below.
python3 - memory <<'PYTHON' || fail "the memory that has arrived is not what was sent"
import struct, sys

memory = open(sys.argv[1], "rb").read()
upper = memory[len(memory) // 2:]
expected = bytearray(len(upper))
for page in range(16):
    struct.pack_into("<Q", expected, page * 4096, (4 << 30) + page * 4096)
assert upper == bytes(expected)
assert not any(memory[4 << 20:len(memory) // 2])
PYTHON
