#!/bin/bash
# A migration that is cancelled before the switch-over leaves the guest as if nothing had been.
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
slow 40mbit
begin_departure --rounds 2
await_state source 'migration=copying'
refused source 'another snapshot, migration or discard' migrate "$host:$port"
refused source 'another snapshot, migration or discard' snapshot snapshot
ask source cancel
departed 1
grep -q 'cancelled' departure.errors || fail "not said why"
stays
refused source 'no migration is under way' cancel
fast
depart
arrived
