#!/bin/bash
# The destination is killed before it runs the guest, which stays.
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
begin_departure --rounds 2 --timeout 2
await_state source 'migration=copying'
kill -KILL "${pid[destination]}"
departed 1
stays
! pgrep -P "${pid[source]}" nbdkit >/dev/null || fail "nbdkit still serves the memory"
quits source
