#!/bin/bash
# nbdkit is killed while the guest pulls: it is started again, and nothing is lost.
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
begin_departure
await_state source 'migration=filling'
pkill -KILL -P "${pid[source]}" nbdkit
departed 0
arrived
