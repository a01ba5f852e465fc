#!/bin/bash
# A machine of another shape than is expected is refused, and stays where it is.
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
destination_of --memory 64M
refuses 1 'and 67108864 are expected here' migrate --control source.socket $there:"$port"
stays
kill "${pid[destination]}"
ended destination 143
destination_of --vcpus 1
refuses 1 'and 1 are expected here' migrate --control source.socket $there:"$port"
stays
quits source
