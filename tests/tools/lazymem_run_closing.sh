#!/bin/bash
# lazymem run: a program that closes descriptors which are not its own, has no
# standard ones, or locks the file; two runs on one file; an alarm.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

make_image image
for name in close-each close-all replace-each without-standard lock-before cancelled; do
	holds $name
done

runs image -- "$run_program" other-order "$memory" "$length" "$seed"
[ "$status" -eq 0 ] && grep -q 'remap_file_pages is not possible' errors ||
	fail "other-order: status $status, $(cat errors)"

# Without stderr from the start, messages go nowhere, and not into the memory.
rm -f "$memory"
"$program" run --memory "$memory=image" --create -- bash -c 'exec 7>&2 2>&-; exec "$@"' bash \
	"$run_program" without-stderr "$memory" "$length" "$seed" 2>errors ||
	fail "without-stderr: status $?"

# A file that is served is refused before the program starts, also while it looks empty.
rm -f "$memory"
"$program" run --memory "$memory=image" --create -- "$run_program" map-only "$memory" "$length" \
	"$seed" >waiting 2>errors &
process=$!
until_says waiting waiting
for create in "" --create; do
	status=0
	# shellcheck disable=SC2086 # nothing, or one word
	"$program" run --memory "$memory=image" $create -- touch started 2>second || status=$?
	[ "$status" -eq 1 ] && grep -q 'is served by another lazymem run' second ||
		fail "a second run: status $status, $(cat second)"
	[ ! -e started ] || fail "a second run was started"
done
kill -KILL $process
wait $process || true

# A child that outlives the program does not go on serving the file.
rm -f "$memory"
"$program" run --memory "$memory=image" --create -- "$run_program" child-stays "$memory" \
	"$length" "$seed" >child 2>errors </dev/null || fail "child-stays: status $?"
: >"$memory"
truncate -s "$size" "$memory"
status=0
"$program" run --memory "$memory=image" -- "$run_program" shared "$memory" "$length" "$seed" \
	>output 2>errors || status=$?
kill -KILL "$(cat child)"
[ "$status" -eq 0 ] || fail "a file that a child has: status $status, $(cat errors)"

# A program that has no loader is refused before anything is made.
rm -f "$memory"
sed 's|/ld-linux|/no-linux|' "$(command -v sleep)" >no_loader
chmod +x no_loader
if ! cmp -s no_loader "$(command -v sleep)"; then
	status=0
	"$program" run --memory "$memory=image" --create -- ./no_loader 0 2>errors || status=$?
	[ "$status" -eq 1 ] && grep -q 'loader' errors || fail "no loader: status $status"
	[ ! -e "$memory" ] || fail "no loader: the memory was made"
fi

# Another file has its name meanwhile: it would read zeros.
rm -f "$memory"
status=0
# shellcheck disable=SC2016 # for the shell that is run
"$program" run --memory "$memory=image" --create -- \
	bash -c 'rm "$1"; truncate -s "$2" "$1"; shift 2; exec "$@"' bash "$memory" "$size" \
	"$run_program" shared "$memory" "$length" "$seed" 2>errors || status=$?
[ "$status" -eq 1 ] && grep -q 'is another file than when' errors ||
	fail "another file: status $status, $(cat errors)"

# A trace would take the place of a memory that is not made yet.
rm -f "$memory"
status=0
"$program" run --memory "$memory=image" --create --record "$memory" -- true 2>errors || status=$?
[ "$status" -eq 1 ] && grep -q 'is a memory' errors || fail "a trace at the memory: $status"

# An alarm that was set before comes to the program.
if command -v perl >/dev/null; then
	rm -f "$memory"
	status=0
	timeout -s KILL 20 perl -e 'alarm 1; exec @ARGV' "$program" run --stats --memory \
		"$memory=image" --create -- sleep 10 2>errors || status=$?
	[ "$status" -eq $((128 + $(kill -l ALRM))) ] || fail "an alarm: status $status"
fi
