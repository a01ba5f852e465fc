#!/bin/bash
# qemu-guest.sh names what is wrong before it makes or fetches anything.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
: >file
refuses 1 'unknown argument image' image
refuses 1 'unknown argument --nosuch' --nosuch
for option in --times --memory --in-use --json --lazymem --directory; do
	refuses 1 "$option needs a value" "$option"
done
for size in '' 0 255 3073 1G 512.5 -512 1000000; do
	refuses 1 "--memory $size" --memory "$size"
done
for times in '' 0 1001 x; do
	refuses 1 "--times $times" --times "$times"
done
refuses 1 '--in-use 129 is not from 16 to 128' --memory 256 --in-use 129
refuses 1 '--in-use 15 is not' --in-use 15
refuses 1 'there is no directory nosuch' --directory nosuch
refuses 1 'there is no directory nosuch' --json nosuch/figures
refuses 1 'cannot be run' --lazymem file
succeeds --help
[ "$(ls | sort | tr '\n' ' ')" = 'errors file output ' ] || fail "left behind: $(ls)"
