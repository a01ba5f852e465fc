#!/bin/bash
# The source is killed before it has sent everything: the guest is stopped, and can be looked at.
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
destination_of --timeout 2 --give-up 2
slow 40mbit
begin_departure
await_state source 'migration=filling'
# Somebody is connected to its nbdkit, and says nothing.
exported=$(ip netns exec "$left" ss -Htln | awk '{ sub(/.*:/, "", $4); print $4 }')
ip netns exec "$right" bash -c "exec 3<>/dev/tcp/$here/$exported; exec sleep 100" &
guests+=($!)
nbdkit=$(pgrep -P "${pid[source]}" nbdkit)
kill -KILL "${pid[source]}"
departed 1
await_state destination 'state=failed .*reason=the source of the migration is gone'
sound ./*.serial
# What is dead and not waited for has no program. That may take a moment.
for ((tries = 0; tries < 200; tries++)); do
	readlink "/proc/$nbdkit/exe" >"$work/output" || break
	sleep 0.05
done
[ "$tries" -lt 200 ] || fail "nbdkit has outlived the source"
ask destination quit
ended destination 1
grep -q 'the source of the migration is gone' destination.errors || fail "not said why"
