#!/bin/bash
# The link is cut right when the guest is switched over: it waits, and then runs there alone.
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
proxy_of SWITCH 1 "ip link set wire down; (sleep 2; ip link set wire up) >/dev/null 2>&1 &"
depart --timeout 2
arrived
