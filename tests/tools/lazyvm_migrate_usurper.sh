#!/bin/bash
# Whoever takes the place of a destination that is gone, and has no key, is not listened to: he
# could say that the guest runs there, or that it never will.
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
source_of
destination_of --tls-psk key
! grep -q 'without GnuTLS' destination.errors || skip "built without GnuTLS"
slow 40mbit
begin_departure --timeout 2 --tls-psk key
await_state source 'migration=filling'
kill -KILL "${pid[destination]}"
ended destination 137
await_state source 'destination-lost=yes'
run_in "$right" usurper "$proxy" $there $there "$port" usurper 0 true
last_guest=${pid[source]}
await usurper.output 3 '^usurped'
await_state source 'state=paused .*destination-lost=yes'
grep -q 'lazyvm: TLS with' source.errors || fail "not said who is there: $(cat source.errors)"
ask source cancel --force
departed 1
goes_on source
quits source
