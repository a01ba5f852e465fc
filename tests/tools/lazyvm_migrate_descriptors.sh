#!/bin/bash
# A process without a free descriptor waits for one, at rest: at the port of a destination, and at the
# control socket.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

cat >exhaust.py <<'PYTHON'
import os, resource, socket, sys, time

pid, question, expected, address = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3], sys.argv[4:]
SPARE = 3


def connect():
    if len(address) == 1:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address[0])
    else:
        connection = socket.create_connection((address[0], int(address[1])))
    return connection


def ask(connection):
    try:
        connection.sendall(question)
        return connection.recv(4096).decode(errors="replace")
    except (BrokenPipeError, ConnectionResetError):
        return ""


def numbers():
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def cpu_seconds():
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# From here on it may have SPARE more.
before = numbers()
limit = [number for number in range(len(before) + SPARE) if number not in before][SPARE - 1] + 1
_, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
taken = []
while not numbers().issuperset(range(limit)):
    taken.append(connect())
    time.sleep(0.05)
last = connect()
# While this one is busy, who does not rest would have as much of the processors.
began, cpu = time.process_time(), cpu_seconds()
while time.process_time() < began + 0.5:
    pass
used = cpu_seconds() - cpu
assert used < 0.1, f"{used} s of processor time were used, and here half a second"
for connection in taken:
    connection.close()
answer = ask(last)
while expected not in answer:  # it may not have noticed yet that they are gone
    time.sleep(0.05)
    answer = ask(connect())
PYTHON

# exhaust NAME QUESTION ANSWER ADDRESS...
exhaust() {
	local name=$1
	shift
	ip netns exec "$left" timeout 200 python3 exhaust.py "${pid[$name]}" "$@" ||
		fail "the $name does not do without descriptors: $(cat "$name.errors")"
}

: >source.serial
run_in "$left" source "$program" run --memory 4M --kind memfd --control source.socket \
	--serial source.serial "$payloads/idle"
await source.serial 1 idles
ask source pause
exhaust source $'status\n' 'ok state=paused' source.socket
quits source
destination_of --timeout 600
exhaust destination $'GET / HTTP/1.0\r\n\r\n' 'is no lazyvm' $there "$port"
