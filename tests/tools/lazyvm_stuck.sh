#!/bin/bash
# Nobody who is slow, or gone, holds up the end of a machine: neither who reads what the guest prints, nor
# who asks on the control socket, nor the server that its memory comes from.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

# ends_soon STATUS WHO
ends_soon() {
	local tries
	for ((tries = 0; tries < 1200; tries++)); do
		kill -0 "$last_guest" 2>/dev/null || break
		sleep 0.05
	done
	[ "$tries" -lt 1200 ] || fail "$2 holds it up"
	ends "$1"
}

# A pipe that nobody reads, of one page. The guest stands in the middle of a line.
mkfifo console
sleep 600 <>console &
guests+=($!)
python3 -c 'import fcntl, os
fcntl.fcntl(os.open("console", os.O_RDWR), 1031, 4096) # F_SETPIPE_SZ' &
wait $!
"$program" run --memory 4M --vcpus 2 --argument 0 --argument 1024 --control printing.socket \
	"$payloads/writer" >console 2>printing.errors &
last_guest=$!
guests+=($!)
await_socket printing
exits=0
for ((tries = 0; tries < 400; tries++)); do
	ask printing status
	now=$(sed -n 's/.* exits=\([0-9]*\) .*/\1/p' "$work/output")
	[ "$now" -eq 0 ] || [ "$now" -ne "$exits" ] || break
	exits=$now
	sleep 0.1
done
[ "$tries" -lt 400 ] || fail "the guest prints on"
timeout 30 "$program" pause --control printing.socket || fail "the reader holds up a pause"
timeout 30 "$program" snapshot --control printing.socket printed >/dev/null ||
	fail "the reader holds up a snapshot"
timeout 30 "$program" resume --control printing.socket || fail "the reader holds up a resume"
kill "$last_guest"
ends_soon 143 "the reader"

# Somebody who asks, and does not read the answers.
start asked run --memory 4M --argument 0 "$payloads/writer"
await_socket asked
python3 - asked.socket <<'PYTHON' &
import socket, sys, time
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.settimeout(1)
try:
    while True:
        connection.send(b"status\n" * 100)
except (socket.timeout, BrokenPipeError):
    pass
open("deaf", "w").close()
time.sleep(600)
PYTHON
guests+=($!)
for ((tries = 0; tries < 600; tries++)); do
	[ ! -e deaf ] || break
	sleep 0.05
done
ask asked quit
ends_soon 0 "who does not read"

# The server of its memory, while somebody waits for the guest to stand still.
command -v nbdkit >/dev/null || skip "nbdkit is not installed; all but that was tested"
start whole run --memory 8M --vcpus 2 --argument 0 "$payloads/fill"
await whole.serial 2 'filled'
ask whole snapshot snapshot
ask whole quit
ends 0
"$lazymem" export snapshot image
succeeds state snapshot state

# serve: the image; $server is who does.
serve() {
	rm -f nbd nbd.pid
	nbdkit --exit-with-parent --foreground --readonly --unix "$work/nbd" \
		--pidfile "$work/nbd.pid" file image 2>nbd.errors &
	server=$!
	guests+=("$server")
	await_nbdkit nbd.pid
}

# await_status NAME PATTERN
await_status() {
	local tries
	for ((tries = 0; tries < 4000; tries++)); do
		ask "$1" status
		! grep -qE -- "$2" "$work/output" || return 0
		sleep 0.02
	done
	fail "the status of $1 is never '$2': $(cat "$work/output")"
}

for way in pause snapshot; do
	serve
	start lost restore --paused --state state "nbd+unix:///?socket=$work/nbd"
	for ((tries = 0; tries < 400; tries++)); do
		kill -0 "$last_guest" 2>/dev/null || break
		run status --control lost.socket
		[ "$status" -ne 0 ] || break
		sleep 0.05
	done
	! grep -q libnbd lost.errors || skip "built without libnbd; all but that was tested"
	kill -KILL "$server"
	wait "$server" 2>/dev/null || true
	ask lost resume
	await_status lost ' faults=[1-9]'
	operand=()
	[ "$way" = pause ] || operand=(other)
	"$program" "$way" --control lost.socket "${operand[@]}" 2>asker.errors &
	asker=$!
	await_status lost 'state=paused '
	sleep 0.3
	kill -0 "$asker" 2>/dev/null || fail "$way did not wait for the guest: $(cat asker.errors)"
	ask lost quit
	ends_soon 0 "the server, and $way,"
	! wait "$asker" || fail "$way says that it was done"
	grep -q 'the guest has ended' asker.errors || fail "$way: $(cat asker.errors)"
done
