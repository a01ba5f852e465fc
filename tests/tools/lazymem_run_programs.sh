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

# A program that maps nothing of it is as it is.
runs image -- sh -c 'echo out; echo error >&2; exit 5'
[ "$status" -eq 5 ] || fail "status $status, not 5"
[ "$(cat output errors)" = "$(printf 'out\nerror')" ] || fail "other output"

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
