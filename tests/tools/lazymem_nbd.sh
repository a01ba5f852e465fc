#!/bin/bash
# An NBD export is a raw image: info, create and export read it.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

command -v nbdkit >/dev/null || skip "nbdkit is not installed"
uri="nbd+unix:///?socket=$work/a,b"
if "$program" info "$uri" 2>&1 | grep -q 'without libnbd'; then
	skip "this build has no libnbd"
fi
refuses 1 "No such file" info "$uri"

mixed image 256
nbdkit --foreground --exit-with-parent --readonly --unix "$work/a,b" --pidfile "$work/pid" \
	file image >/dev/null 2>&1 &
server=$!
for ((i = 0; i < 10000; i++)); do
	[ ! -e pid ] || break
	sleep 0.02
done

is "$uri" .format '"raw"'
is "$uri" .memory_bytes 1048576
[ "$(member "$uri" .data_bytes)" = "$(member image .data_bytes)" ] || fail "its holes are not known"
succeeds export "$uri" flat
same image flat
succeeds create "$uri" snapshot
exports snapshot image

kill "$server"
wait "$server" || true
refuses 1 'connect' create "$uri" other
