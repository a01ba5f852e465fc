#!/bin/bash
# The link is cut twice in a row.
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
for _ in 1 2; do
	link down
	await_state source 'destination-lost=yes'
	link up
	await_state source 'migration=filling destination=[^ ]* there'
done
departed 0
arrived
