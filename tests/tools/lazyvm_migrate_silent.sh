#!/bin/bash
# Strangers that say nothing hold up nobody.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

destination_of --timeout 4
ip netns exec "$left" bash -c "for i in 3 4 5; do eval \"exec \$i<>/dev/tcp/$there/$port\"; done; sleep 100" &
guests+=($!)
source_of
depart
arrived
