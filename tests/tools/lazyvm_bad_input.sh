#!/bin/bash
# A state of another version, of another machine, cut off, or damaged is refused with a
# sentence, and nothing is run.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

start first run --memory 8M --vcpus 2 --argument 0 "$payloads/fill"
await first.serial 2 'filled'
ask first snapshot snapshot
ask first quit
ends 0
"$lazymem" export snapshot image
succeeds state snapshot state

# put FILE OFFSET BYTES: of the state, little-endian.
put() {
	# shellcheck disable=SC2059 # the format is the bytes
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# seal FILE: its checksum is right again.
seal() {
	python3 - "$1" <<'PYTHON'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
crc = 0xffffffff
for byte in data[32:]:
    crc ^= byte
    for bit in range(8):
        crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1))
struct.pack_into("<I", data, 24, ~crc & 0xffffffff)
open(sys.argv[1], "wb").write(data)
PYTHON
}

# made_of FILE: a snapshot `made` with that state.
made_of() {
	rm -f made
	"$lazymem" create --region 0:4M --region 4G:4M --blob lazyvm="$1" image made
}

# bad TEXT: the state in `bad` is refused.
bad() {
	refuses 1 "$1" restore --state bad image
	cp state bad
}

# bad_in_snapshot TEXT: also as a snapshot's.
bad_in_snapshot() {
	made_of bad
	refuses 1 "$1" restore made
	bad "$1"
}
cp state bad
made_of state
start sound restore made
await sound.serial 2 'ended round'
ask sound quit
ends 0

put bad 0 X
bad 'is no state of a machine of lazyvm'
put bad 8 '\002'
bad_in_snapshot 'is of version 2, and this lazyvm reads version 1'
put bad 13 '\001'
bad 'has flags 0x100'
for length in 0 31 32 33 1000 $(($(stat -c %s state) - 1)); do
	head -c "$length" state >bad
	bad 'truncated'
done
cat state state >bad
bad_in_snapshot 'has a tail'
put bad 100 '\377\377\377'
bad 'damaged'

# The first record is the machine's shape: its type, index and length, the vCPUs, the regions.
put bad 32 '\143'
seal bad
bad 'of type 99, which this lazyvm does not know'
put bad 40 '\377\377\377\377\377\377\377\377'
seal bad
bad 'goes past its end'
put bad 28 '\001\000\000\000'
bad 'goes on behind its last record'
put bad 48 '\101'
seal bad
bad 'with 65 vCPUs'
put bad 48 '\003'
seal bad
bad_in_snapshot 'lacks the features of vCPU 2'
put bad 52 '\011'
seal bad
bad 'with 9 regions'
put bad 56 '\001'
seal bad
bad 'is not in blocks of 2 MiB'
put bad 64 '\000\000\140\000'
seal bad
refuses 1 'the guest has 10485760 bytes of memory' restore --state bad image
made_of bad
refuses 1 'and the state of its machine at [0x0+0x600000]' restore made
cp state bad

# A snapshot of no machine, of other regions, and a file that is none.
"$lazymem" create image made
refuses 1 'is no snapshot of lazyvm' restore made
"$lazymem" create --blob lazyvm=state image made
refuses 1 'has 1 regions of memory' restore made
"$lazymem" create --region 0:2M --region 4G:6M --blob lazyvm=state image made
refuses 1 'has memory at [0x0+0x200000]' restore made
refuses 1 'image' restore image
truncate -s 6M image
refuses 1 'image has 6291456 bytes' restore --state state image
refuses 1 'nosuch' restore nosuch
refuses 1 'nosuch' restore --state nosuch image

# Without KVM no file is looked at.
without_kvm=(unshare --mount sh -c 'mount --bind /dev/null /dev/kvm && exec "$@"' sh)
if "${without_kvm[@]}" true 2>/dev/null; then
	status=0
	"${without_kvm[@]}" "$program" restore nosuch 2>errors || status=$?
	[ "$status" -eq 1 ] || fail "without KVM: status $status"
	grep -q '/dev/kvm' errors || fail "without KVM: $(cat errors)"
fi
