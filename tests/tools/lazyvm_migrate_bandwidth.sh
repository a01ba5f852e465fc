#!/bin/bash
# At 10 MB a second the guest runs long before its memory is there; and it is not more than 10 MB a
# second, where the link has room for it.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

source_of
destination_of
slow 80mbit
begin_departure --bandwidth 10000000
await_state source 'migration=filling'
# Its faults go before the rest, so it goes on.
await destination.serial 1 'ended sweep'
departed 0
arrived

fast
source_of
destination_of
depart --stop-and-copy --bandwidth 10000000
received=$(sed 's/.* received=\([0-9]*\).*/\1/' "$work/output")
milliseconds=$(sed 's/.* total-ms=\([0-9]*\).*/\1/' "$work/output")
[ "$received" -gt 20000000 ] || fail "hardly anything was read: $(cat "$work/output")"
[ "$received" -lt $((milliseconds * 12000)) ] || fail "faster than allowed: $(cat "$work/output")"
arrived
