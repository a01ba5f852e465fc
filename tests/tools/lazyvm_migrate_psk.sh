#!/bin/bash
# With a key that both have; who has none, or another, is turned away.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

command -v psktool >/dev/null || skip "no psktool: package gnutls-bin"
psktool -u lazyvm -p key >/dev/null 2>&1
psktool -u lazyvm -p other >/dev/null 2>&1
source_of
destination_of --timeout 2 --tls-psk key
! grep -q 'without GnuTLS' destination.errors || skip "built without GnuTLS"
refuses 1 'TLS' migrate --control source.socket $there:"$port"
refuses 1 'TLS' migrate --control source.socket --tls-psk other $there:"$port"
stays
# What is secret still is when the connection has to be made again.
slow 40mbit
begin_departure --timeout 2 --tls-psk key
await_state source 'migration=filling'
link down
await_state source 'destination-lost=yes'
link up
departed 0
arrived
