#!/bin/bash
# guest-image.sh names what is wrong before it makes or fetches anything.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
: >file
refuses 1 'no image is named'
refuses 1 'more than one image: b' a b
refuses 1 'unknown option --nosuch' --nosuch a
refuses 1 '--memory needs a value' --memory
refuses 1 '--core needs a value' a --core
for size in '' 0 255 2049 1G 512.5 -512; do
	refuses 1 "--memory $size" --memory "$size" a
done
refuses 1 'there is no directory nosuch' nosuch/image
refuses 1 'there is no directory nosuch' --core nosuch/core image
refuses 1 'is a directory' "$work"
refuses 1 'there is no directory file' file/image
succeeds --help
[ "$(ls | sort | tr '\n' ' ')" = 'errors file output ' ] || fail "left behind: $(ls)"
