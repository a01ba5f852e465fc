#!/bin/bash
# A destination that listens at every address, where a source comes by IPv4: the certificate of the
# source is of its address as it is written, also where the kernel makes it one of IPv6.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network
needs_certificates
[ -e /proc/net/if_inet6 ] || skip "no IPv6"

authority ours
certify ours
listen='[::]'
source_of
destination_of --tls-certificates ours
depart --tls-certificates ours
arrived
