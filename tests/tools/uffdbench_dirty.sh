#!/bin/bash
# What --dirty measures is checked in the same run: all is well when all is well,
# and a page that is not told or not kept is found and makes the program fail. The
# second argument is the library that bends the answers; none where nothing can
# be preloaded.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
bend=${2:-}

refuses 2 'unknown measurement nosuch' --dirty nosuch
refuses 2 'measurement track is named twice' --dirty track moment track
refuses 2 'unknown engine track' track
for option in '--threads 2' '--write' '--pin none' '--source cold' '--workload random' \
	'--image a' '--plot a'; do
	# shellcheck disable=SC2086 # these are several arguments
	refuses 2 "--dirty and ${option%% *} exclude each other" --dirty $option
done
refuses 2 'a --memory of 16M' --dirty --memory 8M
refuses 1 '--json' --dirty --memory 16M --json "$work/no/file"
needs_userfaultfd

measurements=(track sync-pages sync-runs moment)
rows=$((8 + 5 + 5 + 3))
succeeds --dirty --memory 16M --repeat 2 --json "$work/json"
for name in "${measurements[@]}"; do
	grep -q "^$name: .* pages of 16.0 MiB written; medians of 2" "$work/output" ||
		fail "no table of $name"
done
[ "$(grep -cE '  (ok|not with this kernel)$' "$work/output")" -eq $rows ] || fail "not $rows rows"
[ "$(grep -c '"wrong":0,' "$work/json")" -eq $((2 * rows)) ] || fail "not $rows ways in JSON"
! grep -q '"failed":true' "$work/json" || fail "a run has failed"
if command -v jq >/dev/null; then
	jq -e '[.runs[] | select(.measurement == "track" and .way == "kernel" and (.absent | not))
		| .first_write_ns > 0 and .collect_ns_per_gib > 0] | all' "$work/json" >/dev/null ||
		fail "numbers are missing"
	jq -e '[.runs[] | select(.measurement == "sync-pages" and .to_best_plain > 0)] | length == 10' \
		"$work/json" >/dev/null || fail "rates are not compared"
fi

# bent HOW MEASUREMENT: found, said and told.
bent() {
	BEND=$1 LD_PRELOAD=$bend run --dirty --memory 16M --repeat 1 "$2"
	[ "$status" -eq 1 ] || fail "$1 of $2: status $status, not 1"
	grep -qE "$2, .*: [0-9]+ pages are not what was written" "$work/errors" ||
		fail "$1 of $2 was not found"
	grep -qE '[1-9][0-9]* WRONG' "$work/output" || fail "not in the table"
}

[ -n "$bend" ] || exit 0
grep -q '^kernel .*  ok$' "$work/output" || exit 0
for name in "${measurements[@]}"; do
	bent scan "$name"
done
bent write sync-pages
