#!/bin/bash
# A run whose source is not in the state asked for is reported, and makes the
# program fail: here somebody else keeps the image in the page cache.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || skip "python3 is not installed"
[ "$(stat -f -c %T "$work")" != tmpfs ] || skip "$work is on tmpfs"
image=$work/image
succeeds --make-image "$image" --memory 4M
succeeds --image "$image" --memory 4M --source cold --repeat 1 kernel

python3 - "$image" "$work/held" <<'END' &
import mmap, os, sys, time
with open(sys.argv[1], "rb") as image:
    held = mmap.mmap(image.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    total = sum(held[at] for at in range(0, len(held), 4096))
    os.close(os.open(sys.argv[2], os.O_CREAT, 0o600))
    time.sleep(600)
END
holder=$!
for _ in $(seq 2000); do
	[ ! -e "$work/held" ] || break
	sleep 0.1
done
run --image "$image" --memory 4M --source cold --repeat 1 --json "$work/json" kernel
kill $holder
[ "$status" -eq 1 ] || fail "status $status, not 1"
grep -q 'the source is not cold: [0-9]* of 1024 pages' "$work/errors" || fail "not said"
grep -q '1 NOT PROVED' "$work/output" || fail "not in the table"
grep -q '"proved":false' "$work/json" || fail "not in the JSON"
