#!/bin/bash
# Memory that the destination reads is not taken away from the guest that has left.
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
begin_departure
await_state source 'migration=filling'
refused source 'under way' discard 4G 16M
departed 0
arrived
