#!/bin/bash
# A guest that has arrived is snapshotted when its source is gone: whole, and then in layers.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

source_of --argument 16
destination_of
depart
ended source 0
await destination.errors 1 'has all of its memory'
ask destination snapshot whole
grep -q '^whole ' "$work/output" || fail "a layer over nothing"
goes_on destination
ask destination snapshot layer
grep -q '^layer ' "$work/output" || fail "the second is no layer"
quits destination
start again restore layer
await again.serial 4 'ended sweep'
ask again quit
ends 0
sound ./*.serial
