#!/bin/bash
# At 10 MB a second the guest runs long before its memory is there.
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
