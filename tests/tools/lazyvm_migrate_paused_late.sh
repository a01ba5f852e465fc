#!/bin/bash
# A guest that is paused right before the last word of the switch-over stays, and stands. The sixth
# argument: lazyvm_migrate_late, or nothing where it cannot be preloaded.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
late=${6:-}
cd "$work"
[ -n "$late" ] || skip "nothing can be preloaded under a sanitizer"
needs_network

: >source.serial
run_in "$left" source env LD_PRELOAD="$late" \
	LATE_COMMAND="LD_PRELOAD= '$program' pause --control source.socket" \
	"$program" run --memory 8M --vcpus 2 --kind memfd --control source.socket \
	--serial source.serial --argument 0 "$payloads/writer"
await source.serial 2 'ended sweep 1$'
destination_of
refuses 1 'was paused meanwhile' migrate --control source.socket "$there:$port"
ask source status
grep -q 'state=paused' "$work/output" || fail "the guest does not stand"
ask source resume
stays
quits source
