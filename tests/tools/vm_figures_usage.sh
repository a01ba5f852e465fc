#!/bin/bash
# vm-figures.sh names what is wrong before it makes or fetches anything.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
: >file
refuses 1 'unknown argument image' image
refuses 1 'unknown argument --nosuch' --nosuch
for option in --parts --sizes --total --repeat --memory --build-dir --results --directory \
	--page --plots; do
	refuses 1 "$option needs a value" "$option"
done
refuses 1 'unknown part nosuch' --parts restore,nosuch
refuses 1 '--parts names none' --parts ''
refuses 1 '--sizes names none' --sizes ''
for size in 15 65537 x 089x -2 1000000; do
	refuses 1 "--sizes $size" --sizes "256,$size"
done
refuses 1 '--sizes 89 is no multiple of 2' --sizes 089
for total in '' 0 63 2817 x; do
	refuses 1 "--total $total" --total "$total"
done
for times in '' 0 1001 x; do
	refuses 1 "--repeat $times" --repeat "$times"
done
for size in '' 0 x 1T 32M 1.5G -1G; do
	refuses 1 "--memory $size" --memory "$size"
done
refuses 1 'there is no directory nosuch' --directory nosuch
refuses 1 'there is no directory nosuch' --page nosuch/page
refuses 1 'is a directory' --page "$work"
succeeds --help
[ "$(ls | sort | tr '\n' ' ')" = 'errors file output ' ] || fail "left behind: $(ls)"
