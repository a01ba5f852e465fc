#!/bin/bash
# A guest that writes all of its memory goes to another host and finds every page right.
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
depart
grep -qE 'pause-us=[0-9]+ .*faults=[1-9][0-9]* rounds=0 reconnects=0' "$work/output" ||
	fail "not post-copy: $(cat "$work/output")"
arrived
