#!/bin/bash
# A signal ends a guest that has just arrived, as it ends any other: in good order, and the source is
# told.
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
kill -TERM "${pid[destination]}"
ended destination 143
[ ! -e destination.socket ] || fail "the control socket was left behind"
departed 0
ended source 0
