#!/bin/bash
# The control socket: what is asked is done, and what is nonsense is answered with an error.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

start vm run --memory 16M --vcpus 2 --argument 0 "$payloads/writer"
await vm.serial 2 'ended sweep'
[ "$(stat -c %a vm.socket)" = 600 ] || fail "others may connect to the control socket"

# Paused: nothing moves. Pauses do not add up.
ask vm pause
ask vm pause
grep -q 'was paused already' "$work/output" || fail "the second pause is not known"
ask vm status
grep -q 'state=paused' "$work/output" || fail "not paused"
before=$(wc -l <vm.serial)
sleep 0.3
[ "$(wc -l <vm.serial)" -eq "$before" ] || fail "a paused guest prints"
ask vm snapshot 'a snapshot with a \ in its name'
[ -f 'a snapshot with a \ in its name' ] || fail "no such snapshot"
ask vm status
grep -q 'state=paused' "$work/output" || fail "a snapshot has resumed the guest"
ask vm resume
ask vm resume
grep -q 'was running already' "$work/output" || fail "the second resume is not known"
await vm.serial $((before + 2)) 'ended sweep'

# Kicks: many pauses, none is lost, and the guest goes on after each.
for _ in {1..50}; do
	ask vm pause
	ask vm resume
done
sound vm.serial

# A stranger.
refused vm 'no guest address' discard nosuch 2M
refused vm 'No such file' snapshot /nosuch/snapshot
python3 - vm.socket <<'PYTHON' || fail "nonsense was not answered with an error"
import socket, sys, time

def answer(line, ends=False):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    connection.sendall(line)
    stream = connection.makefile("rb")
    text = stream.readline()
    assert text.startswith(b"error "), (line[:40], text)
    if not ends:
        connection.sendall(b"status\n")
        text = stream.readline()
        assert text.startswith(b"ok state=running"), text
    connection.close()

answer(b"nosuch\n")
answer(b"\n")
answer(b"   \r\n")
answer(b"pause now\n")
answer(b"discard 1\n")
answer(b"snapshot\n")
answer(b"a b c d e f g h i j k l m n o p q r s\n")
answer(b"\\\n")
answer(b"GET / HTTP/1.1\r\n")
answer(bytes(range(128, 256)) + b"\n")
answer(b"x" * 5000, ends=True)
answer(b"pa\0use\n", ends=True)

# One that says nothing, one that goes away in the middle, and as many as there can be.
idle = [socket.socket(socket.AF_UNIX) for i in range(40)]
for connection in idle:
    connection.connect(sys.argv[1])
try:
    idle[0].sendall(b"stat")
except BrokenPipeError:
    pass  # one of those before is not noticed to be gone yet
for connection in idle:
    connection.close()
while True:
    try:
        answer(b"nosuch\n")
        break
    except (AssertionError, BrokenPipeError, ConnectionResetError):
        time.sleep(0.05)  # they are not all noticed yet
PYTHON

# The socket is taken, and is left over when its process dies.
refuses 1 'control socket of another machine' run --memory 4M --control vm.socket "$payloads/idle"
kill -KILL "$last_guest"
wait "$last_guest" 2>/dev/null || true
[ -S vm.socket ] || fail "no socket was left over"
start again run --memory 4M --control vm.socket "$payloads/idle"
await_socket again
ask again quit
ends 0
[ ! -e again.socket ] || fail "the socket was not removed"
echo text >file
refuses 1 'is no socket' run --memory 4M --control file "$payloads/idle"
refuses 1 'at most 107 bytes' run --memory 4M --control "$(printf '%0200d' 1)" "$payloads/idle"

# A signal ends it, and its socket.
start signalled run --memory 4M --vcpus 3 "$payloads/idle"
await signalled.serial 3 idles
kill "$last_guest"
ends 143
[ ! -e signalled.socket ] || fail "the socket was not removed"
