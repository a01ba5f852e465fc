#!/bin/bash
# The word to run is lost: it is said again over another connection.
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
proxy_of SWITCH 2 false
depart
grep -q 'reconnects=[2-9]' "$work/output" || fail "nothing was lost: $(cat "$work/output")"
arrived
