#!/bin/bash
# A guest that is itself only partly restored is read first, and goes whole.
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
ask source snapshot snapshot
quits source
: >source.serial
run_in "$left" source "$program" restore --kind memfd --control source.socket \
	--serial source.serial snapshot
await_socket source
destination_of
depart
ended source 0
goes_on destination
quits destination
