#!/bin/bash
# Memory that has no file is refused; the destination's may be of another kind.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

: >source.serial
run_in "$left" source "$program" run --memory "$memory" --vcpus 2 --control source.socket \
	--serial source.serial --argument 0 "$payloads/writer"
await source.serial 2 'ended sweep 1$'
destination_of --kind anonymous
refuses 1 'is anonymous' migrate --control source.socket $there:"$port"
stays
quits source
source_of
depart --rounds 2
arrived
