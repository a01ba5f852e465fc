#!/bin/bash
# Rounds of copying while the guest writes leave no stale page behind.
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
depart --rounds 3
grep -qE 'rounds=[23] ' "$work/output" || fail "not in rounds: $(cat "$work/output")"
arrived
