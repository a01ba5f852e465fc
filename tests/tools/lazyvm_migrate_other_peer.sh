#!/bin/bash
# A peer that is no lazyvm, or says nothing, does no harm to the guest.
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
port=9
proxy_of silence 0 true
refuses 1 'has said nothing' migrate --timeout 2 --control source.socket "$host:$port"
run_in "$left" peer nbdkit -f -i $here -p 10809 null
tries=0
until ip netns exec "$left" bash -c "exec 3<>/dev/tcp/$here/10809" 2>/dev/null; do
	[ $((tries += 1)) -lt 2000 ] || fail "nbdkit does not listen"
	sleep 0.05
done
refuses 1 'the peer is no lazyvm' migrate --control source.socket $here:10809
refuses 1 'refused' migrate --control source.socket $here:1
destination_of
host=$there
stays
quits source
