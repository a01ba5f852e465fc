#!/bin/bash
# A wrong command line is named and ends with status 2.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

refuses 2 'unknown engine nosuch' nosuch
refuses 2 'engine floor is named twice' floor kernel floor
refuses 2 'unknown workload nosuch' --workload nosuch
refuses 2 'unknown workload trace:' --workload trace:
refuses 2 'unknown option --nosuch' --nosuch
refuses 2 'unknown option -z' -z
refuses 2 'option --memory needs a value' --memory
for size in '' 0 4095 6K -4K 4KK 4T 0x 1.5M ' 4K'; do
	refuses 2 "--memory $size" --memory "$size"
done
refuses 2 'too large' --memory 18446744073709551616
refuses 2 'too large' --memory 17179869185G
refuses 2 'too large' --memory 2000G
for number in '' 0 -1 x 1x 99999; do
	refuses 2 "--threads $number" --threads "$number"
	refuses 2 "--repeat $number" --repeat "$number"
done
refuses 2 '--source warm' --source warm
refuses 2 '--pin near' --pin near
for option in json plot directory image guest-image make-image make-trace; do
	refuses 2 "--$option needs a path" --$option ''
done
refuses 2 '--make-image and --image exclude each other' --image a --make-image b
refuses 2 'exclude each other' --image a --guest-image b
refuses 2 'exclude each other' --make-trace a --make-image b

for option in --help --version; do
	succeeds $option
	[ -s "$work/output" ] || fail "$option prints nothing"
	[ ! -s "$work/errors" ] || fail "$option complains"
done
