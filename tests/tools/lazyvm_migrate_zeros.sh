#!/bin/bash
# What a source says is zeros is not asked for; and it is not believed where it makes no sense.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

destination_of --timeout 60
cat >source.py <<'PYTHON'
import re, socket, struct, subprocess, sys, zlib

here, there, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
HELLO, ACCEPT, REFUSE, EXPORT, READY, ROUND, RANGES, ROUND_DONE, LAST, STATE = range(1, 11)
FAILED, PROGRESS, ZEROS = 13, 14, 21
MIB = 1 << 20
LENGTH = 8 * MIB


def say(connection, kind, payload=b""):
    header = b"LZVM" + struct.pack("<HHI", 2, kind, len(payload))
    checksum = zlib.crc32(header + bytes(4) + payload)
    connection.sendall(header + struct.pack("<I", checksum) + payload)


def read(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        assert part, "the connection has ended"
        data += part
    return data


def hear(connection):
    while True:
        kind, length = struct.unpack("<HI", read(connection, 16)[6:12])
        payload = read(connection, length)
        if kind != PROGRESS:
            return kind, payload.decode(errors="replace")


def greet(version):
    connection = socket.create_connection((there, port))
    say(connection, HELLO, bytes(range(16)) + struct.pack("<IIII", version, 4096, 1, 1) +
        struct.pack("<QQ", 0, LENGTH))
    return connection, hear(connection)


def prepare():
    connection, (kind, text) = greet(version)
    assert kind == ACCEPT, text
    say(connection, EXPORT, struct.pack("<IIIQI", export, 0, 1, 0, 1) + b"\x01x")
    kind, text = hear(connection)
    assert kind == READY, text
    return connection


def round_of(number, everything, ranges, zeros):
    return struct.pack("<IIQQ", number, everything, ranges, zeros)


def pack(*ranges):
    return b"".join(struct.pack("<QQ", *r) for r in ranges)


# refused TEXT MESSAGE...
def refused(expected, *messages):
    connection = prepare()
    for kind, payload in messages:
        say(connection, kind, payload)
    kind, text = hear(connection)
    assert kind == FAILED and expected in text, (expected, kind, text)
    connection.close()


def first(*ranges):
    return (ROUND, round_of(1, 1, 0, len(ranges))), (ZEROS, pack(*ranges))


# Every byte of the memory is 0x55, and nothing is a hole.
listener = socket.create_server((here, 0))
export = listener.getsockname()[1]
server = subprocess.Popen(
    ["bash", "-c", "exec 3<&$1 && LISTEN_FDS=1 LISTEN_PID=$$ exec nbdkit --foreground "
     f"--filter=log pattern {LENGTH} logfile=asked", "bash", str(listener.fileno())],
    pass_fds=[listener.fileno()])
try:
    connection, (kind, text) = greet(0)
    assert kind == REFUSE, text
    version = int(re.search(r"reads version (\d+)", text).group(1))

    refused("blocks of 2 MiB", *first((0x1000, 0x1000)))
    refused("blocks of 2 MiB", *first((2 * MIB, 2 * MIB + 0x1000)))
    refused("says of its memory", *first((2 * MIB, 0)))
    refused("says of its memory", *first((LENGTH, 2 * MIB)))
    refused("says of its memory", *first((LENGTH - 2 * MIB, 4 * MIB)))
    refused("says of its memory", *first(((1 << 64) - 2 * MIB, 4 * MIB)))
    refused("do not ascend", *first((4 * MIB, 2 * MIB), (0, 2 * MIB)))
    refused("do not ascend", *first((0, 4 * MIB), (2 * MIB, 2 * MIB)))
    refused("ZEROS out of turn, or too many", (ROUND, round_of(1, 1, 0, 1)),
            (ZEROS, pack((0, 2 * MIB), (4 * MIB, 2 * MIB))))
    refused("ZEROS out of turn", (ROUND, round_of(2, 0, 1, 1)), (ZEROS, pack((0, 2 * MIB))))
    refused("ZEROS out of turn", (ZEROS, pack((0, 2 * MIB))))
    refused("more than memory can have", (ROUND, round_of(1, 1, 0, 1 << 40)))
    refused("STATE out of turn", (LAST, round_of(0, 1, 0, 2)), (ZEROS, pack((0, 2 * MIB))),
            (STATE, b"x"))

    # It is not asked for: the rest is.
    connection = prepare()
    for message in first((0, 2 * MIB), (4 * MIB, 2 * MIB)):
        say(connection, *message)
    kind, text = hear(connection)
    assert kind == ROUND_DONE, text
    asked = [(int(offset, 16), int(count, 16)) for offset, count in re.findall(
        r" Read id=\d+ offset=(0x[0-9a-f]+) count=(0x[0-9a-f]+)", open("asked").read())]
    assert sum(count for offset, count in asked) == 4 * MIB, asked
    assert all(offset // MIB in (2, 3, 6, 7) for offset, count in asked), asked
finally:
    server.kill()
PYTHON
timeout 200 ip netns exec "$left" python3 source.py $here $there "$port" ||
	fail "not as it should be: $(cat destination.errors)"
source_of
depart
arrived
