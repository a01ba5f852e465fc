#!/bin/bash
# The files that engines have of their own: made where they can be made, proved
# as the image is, without a name, and their damage is no success.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

needs_userfaultfd
command -v python3 >/dev/null || skip "python3 is not installed"
mkdir "$work/files"

# start ARGUMENT...: the program, many times over, with files in $work/files.
start() {
	"$program" --directory "$work/files" --memory 4M --repeat 10000 "$@" \
		>"$work/output" 2>"$work/errors" &
	runner=$!
}

# own_file: the path of the engine's own file, which is the one beside the image.
own_file() {
	python3 - "$runner" "$work/files" <<'END'
import os, sys, time
runner, directory = sys.argv[1:]
for attempt in range(4000):
    time.sleep(0.05)
    paths = [f"/proc/{runner}/fd/{fd}" for fd in os.listdir(f"/proc/{runner}/fd")]
    # By inode: what is open now and gone in a moment is no file of ours.
    own = {}
    for path in paths:
        try:
            if os.readlink(path).startswith(directory):
                own.setdefault(os.stat(path).st_ino, path)
        except FileNotFoundError:
            pass
    # The image is the first one; there are two when the engine has made its own.
    if len(own) == 2 and not os.listdir(directory):
        print(max(own.values(), key=lambda path: int(path.split("/")[-1])))
        sys.exit(0)
sys.exit("no file of its own")
END
}

# A page in the cache, held there by somebody else, is not cold.
held_file_is_not_cold() {
	local path
	start --source cold "$1"
	path=$(own_file) || fail "$1 has no file of its own"
	python3 - "$path" "$runner" <<'END' &
import mmap, os, sys, time
with open(sys.argv[1], "rb") as file:
    held = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    while os.path.exists(f"/proc/{sys.argv[2]}"):
        held[0], held[len(held) - 1]
        time.sleep(0.01)
END
	for _ in $(seq 2000); do
		! grep -q 'the source is not cold' "$work/errors" || break
		sleep 0.1
	done
	kill "$runner"
	wait
	grep -q "engine $1, run [0-9]*: the source is not cold: [0-9]* of " "$work/errors" ||
		fail "$1: not said"
}

# Damage in the middle of a snapshot: the page is not delivered.
damage_is_reported() {
	local path
	start "$1"
	path=$(own_file) || fail "$1 has no file of its own"
	python3 - "$path" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
middle = os.fstat(fd).st_size // 2
piece = os.pread(fd, 65536, middle)
os.pwrite(fd, bytes(byte ^ 0xff for byte in piece), middle)
END
	status=0
	wait "$runner" || status=$?
	[ "$status" -ne 0 ] || fail "$1: damage was taken for success"
	grep -q "engine $1 cannot read .*: Bad message" "$work/errors" || fail "$1: damage is not named"
}

if [ "$(stat -f -c %T "$work")" != tmpfs ]; then
	for engine in reap lazymem-prefetch lazymem-snapshot; do
		held_file_is_not_cold $engine
	done
fi
damage_is_reported lazymem-verified
damage_is_reported lazymem-snapshot
[ -z "$(ls -A "$work/files")" ] || fail "left behind: $(ls -A "$work/files")"
