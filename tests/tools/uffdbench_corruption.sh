#!/bin/bash
# A page that is not as in the image is found, whether its first byte is wrong
# or its last one, and makes the program fail.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

image=$work/image
# Page 1 is none of those that are looked at when the image is opened.
for byte in 4096 8191; do
	for workload in random sparse; do
		rm -f "$image"
		succeeds --make-image "$image" --memory 8M --workload $workload
		printf '\377' | dd of="$image" bs=1 seek="$byte" conv=notrunc status=none
		run --image "$image" --memory 8M --workload $workload --repeat 1 kernel eager
		[ "$status" -eq 1 ] || fail "byte $byte of $workload: status $status, not 1"
		[ "$(grep -c '1 of 2048 pages are not as in the image' "$work/errors")" -eq 2 ] ||
			fail "byte $byte of $workload was not found"
		[ "$(grep -c '1 MISMATCHES' "$work/output")" -eq 2 ] || fail "not in the table"
	done
done
