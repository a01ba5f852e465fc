#!/bin/bash
# The link is cut while the guest runs there and pulls: it goes on when the link is back.
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
destination_of --timeout 2
slow 40mbit
begin_departure --timeout 2
await_state source 'migration=filling'
link down
await_state source 'destination-lost=yes'
link up
departed 0
arrived
