#!/bin/bash
# Who hears a lot still says now and then that he is there.
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
for direction in there back; do
	source_of
	destination_of --timeout 4
	host=$there
	proxy_of chatter-$direction 0 true
	# Longer than anybody's patience.
	depart --timeout 4 --stop-and-copy --bandwidth 3M
	grep -q 'reconnects=0' "$work/output" || fail "somebody was thought to be gone: $(cat "$work/output")"
	arrived
done
