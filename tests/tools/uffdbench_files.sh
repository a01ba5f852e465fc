#!/bin/bash
# Files that cannot serve are named before anything is measured, with status 1.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
: >empty
echo short >short
mkfifo fifo
truncate -s 4M holes
succeeds --make-image image --memory 4M

refuses 1 'image nosuch: No such file' --image nosuch kernel
refuses 1 'image . is a directory' --image . kernel
refuses 1 'image empty is empty' --image empty kernel
refuses 1 'image short is too short' --image short kernel
refuses 1 'image fifo is no regular file' --image fifo kernel
refuses 1 'image image is too short' --image image --memory 8M kernel
refuses 1 'was not made by --make-image' --image holes --memory 4M kernel
refuses 1 'was not made by --make-image' --image image --memory 4M --workload mixed kernel
refuses 1 'image image: File exists' --make-image image --memory 4M
refuses 1 'nosuch/image' --make-image nosuch/image --memory 4M
refuses 1 'nosuch' --directory nosuch kernel
refuses 1 'short' --directory short kernel

refuses 1 '--json nosuch/file cannot be written: No such file' --json nosuch/file kernel
refuses 1 '--json . cannot be written: Is a directory' --json . kernel
refuses 1 '--json short/file cannot be written: Not a directory' --json short/file kernel
if command -v gnuplot >/dev/null; then
	refuses 1 '--plot short is no directory' --plot short kernel
	refuses 1 '--plot nosuch/dir cannot be made' --plot nosuch/dir kernel
fi
status=0
PATH=/nonexistent "$program" --plot drawings kernel >output 2>errors || status=$?
[ "$status" -eq 1 ] || fail "status $status, not 1, without gnuplot"
grep -q 'needs gnuplot' errors || fail "gnuplot is not named"
[ ! -e drawings ] || fail "a directory was made without need"

refuses 1 'trace' --workload trace:nosuch kernel
refuses 1 'trace' --workload trace:short kernel
refuses 1 'too small for workload helloworld' --workload helloworld --memory 1M kernel
refuses 1 'too small for workload post-restore' --workload post-restore --memory 4K kernel

succeeds --make-trace made --workload helloworld
succeeds --workload trace:made --memory 256M --repeat 1 --json json kernel
grep -q '"pages":1965,' json || fail "the trace has not the recorded pages of helloworld"
refuses 1 'nosuch/trace' --make-trace nosuch/trace
refuses 1 'short' --make-trace short/trace

run --memory 1M --repeat 1 --json /dev/full kernel
[ "$status" -eq 1 ] || fail "a full disk under --json is not noticed"
grep -q 'json /dev/full: No space' "$work/errors" || fail "a full disk is not named"
status=0
"$program" --memory 1M --repeat 1 kernel >/dev/full 2>"$work/errors" || status=$?
[ "$status" -eq 1 ] || fail "a full disk under the table is not noticed"

[ "$(findmnt -n -o FSTYPE -T /dev/shm 2>/dev/null)" != tmpfs ] ||
	refuses 1 'lives in memory' --directory /dev/shm --memory 1M --source cold kernel
