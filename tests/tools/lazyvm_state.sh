#!/bin/bash
# All that a vCPU and a machine are is restored: a state with marks in it that no payload would make is
# restored into a machine that does not run, saved again, and is the same.
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

cat >state.py <<'PYTHON'
import struct

(SHAPE, DEVICES, CLOCK, IRQCHIP, PIT, CPUID, REGISTERS, SYSTEM, XSAVE, XCRS, DEBUG, LAPIC, MSRS,
 EVENTS, MP_STATE, TSC_FREQUENCY) = range(1, 17)
HEADER = 32

def records(path):
    """(type, index): where its bytes are."""
    data = bytearray(open(path, "rb").read())
    found, at = {}, HEADER
    while at < len(data):
        kind, index, length = struct.unpack_from("<IIQ", data, at)
        found[kind, index] = (at + 16, length)
        at += 16 + (length + 7) // 8 * 8
    return data, found

def seal(path, data):
    crc = 0xffffffff
    for byte in data[HEADER:]:
        crc ^= byte
        for bit in range(8):
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1))
    struct.pack_into("<I", data, 24, ~crc & 0xffffffff)
    open(path, "wb").write(data)
PYTHON

python3 - <<'PYTHON'
from state import *
data, found = records("state")

def put(kind, index, offset, form, *values):
    at, length = found[kind, index]
    assert offset + struct.calcsize(form) <= length
    struct.pack_into(form, data, at + offset, *values)

put(DEVICES, 0, 0, "<II", 0x1234, 1)
put(IRQCHIP, 0, 8 + 3, "<B", 0x20)                # the base of the interrupts of an 8259
put(IRQCHIP, 2, 8 + 24 + 5 * 8, "<Q", 0x10055)    # a line of the IOAPIC
put(PIT, 0, 0, "<I", 0x4321)                      # a count
for vcpu in range(2):
    mark = 0x5a00 + vcpu
    put(REGISTERS, vcpu, 0, "<16Q", *(mark << 32 | i for i in range(16)))
    put(SYSTEM, vcpu, 3 * 24, "<Q", mark << 12)   # the base of fs
    put(SYSTEM, vcpu, 232, "<Q", mark << 16)      # cr2
    at, length = found[XSAVE, vcpu]
    put(XSAVE, vcpu, 160, "<32Q", *(mark << 40 | i for i in range(32)))  # xmm0 to xmm15
    put(XSAVE, vcpu, 512, "<B", data[at + 512] | 3)
    put(DEBUG, vcpu, 0, "<4Q", *(mark << 20 | i for i in range(4)))
    put(LAPIC, vcpu, 0x370, "<I", 0x10033 + vcpu)
    put(EVENTS, vcpu, 14, "<B", 1)                # within an NMI
    at, length = found[MSRS, vcpu]
    for entry in range(at, at + length, 16):
        if struct.unpack_from("<I", data, entry)[0] in (0xc0000102, 0xc0000082, 0x176):
            struct.pack_into("<Q", data, entry + 8, mark << 8)
put(MP_STATE, 1, 0, "<I", 3)                      # halted
seal("marked", data)
PYTHON

start second restore --paused --state marked image
await_socket second
ask second snapshot again
ask second quit
ends 0
succeeds state again saved

python3 - <<'PYTHON' || fail "what was restored is not what was saved"
import sys
from state import *
before, was = records("marked")
after, is_now = records("saved")
assert was.keys() == is_now.keys(), "other records"
wrong = []

def differing(a, b, ignored):
    return [i for i in range(len(a)) if a[i] != b[i] and not any(i in part for part in ignored)]

for key, (at, length) in was.items():
    a, b = before[at:at + length], after[is_now[key][0]:sum(is_now[key])]
    ignored = []
    if key[0] == CLOCK:
        assert a[:8] < b[:8] or a[:8] != b[:8], "the clock stands"
        continue
    if key[0] == PIT:       # when a count was loaded
        ignored = [range(i * 24 + 16, i * 24 + 24) for i in range(3)]
    if key[0] == LAPIC:     # the current count of the timer
        ignored = [range(0x390, 0x394)]
    if key[0] == MSRS:      # the time-stamp counter
        ignored = [range(i + 8, i + 16) for i in range(0, length, 16)
                   if struct.unpack_from("<I", a, i)[0] == 0x10]
    if len(a) != len(b) or differing(a, b, ignored):
        wrong.append((key, len(a), len(b), differing(a, b, ignored)[:16]))
for line in wrong:
    print("record %s: %d bytes, %d after, other bytes at %s" % line, file=sys.stderr)
sys.exit(bool(wrong))
PYTHON
