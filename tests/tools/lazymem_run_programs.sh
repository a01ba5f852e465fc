#!/bin/bash
# lazymem run: programs before the program, two of them at once, and two files.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

make_image image
plainly shared

# reaches COMMAND...: by way of another program.
reaches() {
	runs image --complete -- "$@" "$run_program" shared "$memory" "$length" "$seed"
	[ "$status" -eq 0 ] || fail "$*: status $status"
	[ ! -s errors ] && [ ! -s output ] || fail "$*: not silent"
	same_file "$*"
}

reaches env
reaches env NAME=value
reaches nice -n 1
reaches taskset -c 0
reaches timeout 20
# shellcheck disable=SC2016 # expanded by the inner shell
{
	reaches sh -c 'exec "$0" "$@"'
	reaches sh -c '"$0" "$@"; exit $?'
	reaches sh -c 'ls / >/dev/null && cat /dev/null; sh -c "exec \"\$0\" \"\$@\"" "$0" "$@"'
}

# A program on the way that closes what it does not know: as long as a parent has not,
# all is well; else nothing is run, as it would find zeros.
# shellcheck disable=SC2016
{
	reaches bash -c 'fd=${LAZYMEM_RUN%%:*}; (exec {fd}>&-; exec "$0" "$@"); exit $?'
	runs image -- bash -c 'fd=${LAZYMEM_RUN%%:*}; exec {fd}>&-; exec "$0" "$@"' \
		"$run_program" shared "$memory" "$length" "$seed"
}
[ "$status" -eq 1 ] || fail "status $status, not 1, without the settings"
grep -q 'it would find zeros' errors || fail "not said why nothing is run"
[ "$(stat -c %b "$memory")" -eq 0 ] || fail "the file was written to"

# A program that maps nothing of it is as it is.
runs image -- sh -c 'echo out; echo error >&2; exit 5'
[ "$status" -eq 5 ] || fail "status $status, not 5"
[ "$(cat output errors)" = "$(printf 'out\nerror')" ] || fail "other output"

# A program without standard descriptors gets none of ours in their place.
# shellcheck disable=SC2016
runs image --complete -- sh -c 'exec "$0" "$@" <&- >&- 2>&-' \
	"$run_program" closed-output "$memory" "$length" "$seed"
[ "$status" -eq 0 ] || fail "closed-output: status $status"
full_copy "$plain"
same_file closed-output
"$run_program" closed-output "$plain" "$length" "$seed" <&- >&- 2>&- ||
	fail "closed-output does not hold without us"

# A second process that maps it while the first one has it.
# shellcheck disable=SC2016
runs image -- sh -c '
	mkfifo stop || exit 1
	"$0" hold "$@" <stop >held &
	exec 3>stop
	while ! grep -q mapped held; do sleep 0.01; done
	"$0" refused "$@" || exit 2
	exec 3>&-
	wait $! || exit 3' "$run_program" "$memory" "$length" "$seed"
[ "$status" -eq 0 ] || fail "a second process: status $status"
[ "$(wc -l <errors)" -ge 1 ] || fail "the second process is not told"
grep -qF "$memory" errors || fail "the file is not named"

# Nor one of another run that was started before anything was there.
# shellcheck disable=SC2016
start='echo waiting; while [ ! -e go ]; do sleep 0.01; done; exec "$0" "$@"'
rm -f "$memory" stop
mkfifo stop
truncate -s "$size" "$memory"
"$program" run --memory "$memory=image" -- \
	bash -c "$start" "$run_program" hold "$memory" "$length" "$seed" <stop >held &
first=$!
exec 3>stop
"$program" run --memory "$memory=image" -- bash -c "${start/go/later}" \
	"$run_program" refused "$memory" "$length" "$seed" >output 2>errors 3>&- &
other=$!
until_says waiting held
until_says waiting output
touch go
until_says mapped held
touch later
wait $other || fail "a second run of one file: status $?"
grep -qF "$memory" errors || fail "the file is not named"
exec 3>&-
wait $first || fail "the first run of two: status $?"

# Nor when the first one has ended: what it left is neither the image nor empty.
# shellcheck disable=SC2016
runs image -- sh -c '"$0" shared "$@" && "$0" refused "$@"' \
	"$run_program" "$memory" "$length" "$seed"
[ "$status" -eq 0 ] || fail "a second process after the first: status $status"
refuses 1 "$memory" run --memory "$memory=image" -- true

# Two files, of different lengths and kinds.
second=$shared_memory/second
(seed=9 length=2097152 make_image other)
succeeds create other snapshot
full_copy "$memory"
"$run_program" make "$second" 2097152 9
timeout 30 "$run_program" two-files "$memory" "$length" "$seed" "$second" 2097152 9 ||
	fail "two-files does not hold without us"
mv "$memory" "$plain"
mv "$second" "$plain.second"
runs image --memory "$second=snapshot" --complete --record trace -- \
	"$run_program" two-files "$memory" "$length" "$seed" "$second" 2097152 9
[ "$status" -eq 0 ] || fail "two-files: status $status"
[ ! -s errors ] || fail "two-files: not silent"
same_file two-files
cmp "$plain.second" "$second" || fail "the second file is another one afterwards"
rm "$second"
runs image --memory "$second=snapshot" --replay trace --prefetch trace -- \
	"$run_program" two-files "$memory" "$length" "$seed" "$second" 2097152 9
[ "$status" -eq 0 ] || fail "two-files with a trace: status $status"
