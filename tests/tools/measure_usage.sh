#!/bin/bash
# measure.sh names what is wrong before it makes or fetches anything.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
printf '# Measurements\n' >page
refuses 1 'unknown argument track' track
refuses 1 'unknown argument --nosuch' --nosuch
for option in --build-dir --results --page --plots; do
	refuses 1 "$option needs a value" "$option"
done
refuses 1 'there is no directory nosuch' --page nosuch/page
refuses 1 'is a directory' --page "$work"
refuses 1 'there is no file nosuch' --only-dirty --page nosuch
refuses 1 'page has no section "First touches"' --only-dirty --page page
succeeds --help
[ "$(ls | sort | tr '\n' ' ')" = 'errors output page ' ] || fail "left behind: $(ls)"
