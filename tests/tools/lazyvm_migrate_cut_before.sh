#!/bin/bash
# The link is cut while memory is copied: the guest stays, and can go later.
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
begin_departure --rounds 2 --timeout 2
await_state source 'migration=copying'
link down
departed 1
grep -q 'lazyvm: ' departure.errors || fail "it failed without a word"
stays
link up
fast
depart
arrived
