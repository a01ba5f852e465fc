#!/bin/bash
# lazymem run: signals, and how the program ends.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

every_signal() {
	local name
	for name in signals-untouched signal-storm calls-in-handler interruption status killed; do
		holds $name
	done
}

make_image image
keeps_image every_signal

# The same with a parent that waits for the summary.
for name in signals-untouched signal-storm interruption status killed; do
	plainly $name
	runs image --stats -- "$run_program" $name "$memory" "$length" "$seed"
	[ "$status" -eq "$plain_status" ] || fail "$name: status $status, not $plain_status"
	same plain_output <(sort output)
	! grep -qv '^lazymem run: ' errors || fail "$name: more than a summary"
	grep -q ' faults' errors || fail "$name: no summary"
done

# in_background OPTION...: the waiting program; $process is ours.
in_background() {
	rm -f "$memory" waiting
	set -m
	"$program" run --memory "$memory=image" --create "$@" -- \
		"$run_program" wait "$memory" "$length" "$seed" </dev/null >waiting 2>errors &
	process=$!
	set +m
	until_says waiting waiting
}

# ends STATUS: and with it a summary, or none.
ends() {
	status=0
	wait $process 2>/dev/null || status=$?
	[ "$status" -eq "$1" ] || fail "status $status, not $1"
}

# Without --stats it is the program itself that gets them.
in_background
kill -s USR1 $process
until_says 'got signal 10' waiting
kill -s TERM $process
ends 9
[ ! -s errors ] || fail "not silent"

# With it, they are passed on, but for the one that asks for a summary.
in_background --stats
kill -s HUP $process
until_says 'got signal 01' waiting
kill -s USR2 $process
until_says 'got signal 12' waiting
[ ! -s errors ] || fail "a summary without being asked"
kill -s USR1 $process
until_says ' faults' errors
kill -s USR1 $process
sleep 0.05
! grep -q 'got signal 10' waiting || fail "SIGUSR1 was passed on"
kill -s TERM $process
ends 9
until_says 'got signal 15' waiting
[ "$(grep -c ' faults' errors)" -ge 2 ] || fail "no summary at the end"

# A signal that kills.
in_background --stats
child=$(pgrep -P $process) || fail "no child"
kill -s KILL "$child"
ends 137
grep -q ' faults' errors || fail "no summary after a signal"
