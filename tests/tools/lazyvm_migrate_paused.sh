#!/bin/bash
# A guest that is paused while its memory is copied stays, and stands; once it was switched over it can
# be paused only there.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

memory=16M
source_of
destination_of
slow 40mbit
begin_departure --rounds 2
await_state source 'migration=copying'
ask source pause
departed 1
grep -q 'was paused meanwhile' departure.errors || fail "not said why"
sweeps=$(grep -c 'ended sweep' source.serial)
sleep 0.5
[ "$(grep -c 'ended sweep' source.serial)" -eq "$sweeps" ] || fail "the guest does not stand"
ask source resume
stays

fast
proxy_of RUNNING 1 "'$program' pause --control source.socket >late.output 2>late.errors; true"
depart
grep -q 'can be paused only there' late.errors || fail "paused where it is no more: $(cat late.output)"
arrived
