#!/bin/bash
# A page that cannot be read stops the guest, with a sentence that names it, and is never zeros.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

start first run --memory 16M --vcpus 2 --argument 0 "$payloads/fill"
await first.serial 2 'filled'
ask first snapshot snapshot
ask first quit
ends 0

# One byte in the middle of the file is another one: a page that its checksum gives away.
middle=$(($(stat -c %s snapshot) / 2))
byte=$(od -An -tu1 -j $middle -N 1 snapshot)
# shellcheck disable=SC2059 # the format is the byte
printf "\\x$(printf %x $((byte ^ 255)))" |
	dd of=snapshot bs=1 seek=$middle conv=notrunc status=none

for kind in anonymous memfd; do
	refuses 1 'guest memory at 0x' restore --kind $kind --serial serial snapshot
	grep -q "could not be read from snapshot" "$work/errors" || fail "the file is not named"
	! grep -q BAD serial || fail "the guest has seen the damaged page"
	rm serial
done

# With a control socket, it stays to be looked at.
start kept restore snapshot
await_socket kept
for ((tries = 0; tries < 400; tries++)); do
	ask kept status
	! grep -q 'state=failed' "$work/output" || break
	sleep 0.05
done
grep -q 'state=failed.*reason=vCPU [01] .*guest memory at 0x' "$work/output" ||
	fail "not said why it stands"
refused kept 'the guest has ended' snapshot other
ask kept quit
ends 1

# What is no guest.
printf '\177ELF' >short
refuses 1 'too short' run --memory 4M short
head -c 100000 /dev/urandom >noise
refuses 1 'is no ELF file' run --memory 4M noise
refuses 1 'nosuch' run --memory 4M nosuch
refuses 1 'no program at fixed addresses' run --memory 4M "$program"
