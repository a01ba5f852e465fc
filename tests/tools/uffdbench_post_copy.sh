#!/bin/bash
# What --post-copy measures is checked in the same run: all is well when all is
# well; what is not as it was exported, and a server that dies, make the program
# fail. Nothing is left behind, however it ends.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

refuses 2 'unknown measurement nosuch' --post-copy nosuch
refuses 2 'unknown measurement track' --post-copy track
refuses 2 'unknown measurement faults' --dirty faults
refuses 2 'measurement faults is named twice' --post-copy faults stream faults
refuses 2 '--dirty and --post-copy exclude each other' --dirty --post-copy
refuses 2 '--post-copy and --dirty exclude each other' --post-copy --dirty
for option in '--threads 2' '--write' '--pin none' '--source cold' '--workload random' \
	'--image a' '--make-image a' '--plot a'; do
	# shellcheck disable=SC2086 # these are several arguments
	refuses 2 "--post-copy and ${option%% *} exclude each other" --post-copy $option
done
refuses 2 'a --memory of 64M' --post-copy --memory 32M

needs_userfaultfd
refuses 1 '--json' --post-copy --memory 64M --json "$work/no/file"
refuses 1 "$work/nosuch" --post-copy --memory 64M --directory "$work/nosuch"
nbdkit=$(command -v nbdkit) || skip "nbdkit is not installed"
command -v nbdcopy >/dev/null || skip "nbdcopy is not installed"
mkdir "$work/images" "$work/bin"
small=(--post-copy --memory 64M --directory "$work/images")

# left: fail if there is something.
left() {
	[ -z "$(ls -A "$work/images")" ] || fail "left behind: $(ls -A "$work/images")"
}

run "${small[@]}" --repeat 1 --json "$work/json"
! grep -q 'without libnbd' "$work/errors" || skip "this build has no libnbd"
[ "$status" -eq 0 ] || fail "status $status"
for name in faults stream; do
	grep -q "^$name: .* 16384 pages of 64.0 MiB brought; medians of 1" "$work/output" ||
		fail "no table of $name"
done
[ "$(grep -c '  ok$' "$work/output")" -eq 5 ] || fail "not five rows"
[ "$(grep -c '"wrong":0,' "$work/json")" -eq 5 ] || fail "not five runs in JSON"
! grep -q '"failed":true' "$work/json" || fail "a run has failed"
left
if command -v jq >/dev/null; then
	jq -e '[.runs[] | select(.measurement == "faults" and .faults > 0 and .p50_ns > 0
		and .p99_ns >= .p50_ns and .max_ns >= .p99_ns and .p99_to_alone > 0)] | length == 2' \
		"$work/json" >/dev/null || fail "numbers of faults are missing"
	jq -e '[.runs[] | select(.way == "alone") | .p99_to_alone == 1
		and .stream_bytes_per_second == null] | all' "$work/json" >/dev/null ||
		fail "faults alone are compared with something else"
	jq -e '[.runs[] | select(.measurement == "stream" and .to_nbdcopy > 0)] | length == 3' \
		"$work/json" >/dev/null || fail "rates are not compared"
fi

# with NBDKIT ARGUMENT...: run with another nbdkit, of these lines.
with() {
	local lines=$1
	shift
	printf '#!/bin/bash\n%s\n' "$lines" >"$work/bin/nbdkit"
	chmod 755 "$work/bin/nbdkit"
	PATH=$work/bin:$PATH run "$@"
}

with "exec $nbdkit --exit-with-parent --readonly pattern size=64M" "${small[@]}" --repeat 1
[ "$status" -eq 1 ] || fail "other bytes: status $status, not 1"
[ "$(grep -cE ' [1-9][0-9]* WRONG$' "$work/output")" -eq 5 ] || fail "other bytes were not found"
[ "$(grep -c 'run 1: [0-9]* pages are not what was' "$work/errors")" -eq 5 ] ||
	fail "other bytes were not told of"
left

# It dies in the middle: whoever touches must not wait for ever, nor must we.
for name in faults stream; do
	with "(sleep 0.5; kill -KILL \$\$) & exec $nbdkit --exit-with-parent --readonly \
		--filter=rate file dir=/proc/self/fd rate=100M" "${small[@]}" --repeat 1 $name
	[ "$status" -eq 1 ] || fail "the server has died: status $status, not 1: $name"
	[ -s "$work/errors" ] || fail "the server has died, and nothing was said"
	left
done

with 'exit 1' "${small[@]}" --repeat 1
[ "$status" -eq 1 ] || fail "no server: status $status, not 1"
left

for signal in INT TERM HUP; do
	status=0
	timeout --preserve-status --signal=$signal 1 "$program" "${small[@]}" --repeat 10000 \
		>"$work/output" 2>"$work/errors" || status=$?
	[ "$status" -gt 128 ] || fail "SIG$signal did not end it: status $status"
	left
done
