#!/bin/bash
# Who is no lazyvm is turned away at the destination, which goes on listening.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

destination_of --timeout 2

# say BYTES: what the destination answers until it closes the connection. They are sent in one
# piece: it may be closed before there is time for a second one.
say() {
	# shellcheck disable=SC2059 # the format is the bytes
	printf "$1" >words
	ip netns exec "$left" timeout 100 bash -c \
		"exec 3<>/dev/tcp/$there/$port; cat words >&3; cat <&3" >answer || true
}

say 'GET / HTTP/1.0\r\n\r\n'
grep -aq 'is no lazyvm' answer || fail "a stranger was not told"
# Another version of the protocol; a message that is too long; one that nobody says first.
say 'LZVM\x63\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00'
grep -aq 'speaks version 99' answer || fail "another version was not told"
say 'LZVM\x02\x00\x01\x00\xff\xff\xff\xff\x00\x00\x00\x00'
grep -aq 'HELLO of 4294967295 bytes' answer || fail "an endless message was not refused"
say 'LZVM\x02\x00\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00'
grep -aq 'checksum is wrong' answer || fail "a damaged message was not refused"
# Silence, and half a message.
say ''
say 'LZVM\x02\x00'
[ "$(grep -c 'was turned away' destination.errors)" -eq 6 ] || fail "not all were named"
source_of
depart
arrived
