#!/bin/bash
# The destination is killed when it runs the guest: here it stands still, until it is taken back by force.
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
begin_departure --timeout 2
await_state source 'migration=filling'
kill -KILL "${pid[destination]}"
await_state source 'state=paused .*destination-lost=yes'
sweeps=$(grep -c 'ended sweep' source.serial)
refused source 'only with --force' cancel
sleep 0.5
[ "$(grep -c 'ended sweep' source.serial)" -eq "$sweeps" ] || fail "the guest was not left standing"
ask source cancel --force
departed 1
grep -q 'taken back by force' departure.errors || fail "not said what was done"
goes_on source
quits source
