#!/bin/bash
# A destination that was told to run and says that it never will: the guest goes on here. It is told where
# the memory is a second time, which is once too often.
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
proxy_of SWITCH 1 'exit 3'
run migrate --control source.socket "$host:$port"
[ "$status" -eq 1 ] || fail "status $status: $(cat "$work/output" "$work/errors")"
grep -qE 'out of turn|was given up' "$work/errors" || fail "not said why"
stays
depart
arrived
