#!/bin/bash
# A guest that has arrived goes on to a third process.
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
destination_of
depart
ended source 0
await destination.errors 1 'has all of its memory'
goes_on destination
sound ./*.serial
mv destination.serial second.serial
cp second.serial source.serial
ln -sf destination.socket source.socket
run_in "$left" third "$program" receive --listen $here:0 --kind memfd \
	--control third.socket --serial third.serial
await third.output 1 '^listening on port'
ask destination migrate "$here:$(sed 's/.* //' third.output)"
ended destination 0
goes_on third
quits third
