#!/bin/bash
# A wrong command line of lazyvm is named and ends with status 2.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$work"

refuses 2 'which command'
refuses 2 'unknown command nosuch' nosuch
refuses 2 'unknown option --nosuch' --nosuch
for command in run restore state snapshot status pause resume discard quit; do
	refuses 2 "unknown option --nosuch; see lazyvm $command --help" $command --nosuch
	succeeds $command --help
	grep -q "^usage: lazyvm $command " "$work/output" || fail "$command --help: no usage"
	[ ! -s "$work/errors" ] || fail "$command --help complains"
done
succeeds --help
succeeds --version

refuses 2 'run needs 1 file name' run
refuses 2 'restore needs 1 file name' restore
refuses 2 'at most 1 file name' run a b
refuses 2 '--memory 12x is no size' run --memory 12x payload
refuses 2 '4194305 bytes of memory' run --memory 4194305 payload
refuses 2 'bytes of memory' run --memory 2M payload
refuses 2 'bytes of memory' run --memory 64G payload
refuses 2 '--vcpus 0' run --vcpus 0 payload
refuses 2 '--vcpus 65' run --vcpus 65 payload
refuses 2 '--kind paper' run --kind paper payload
refuses 2 '--argument 9: a payload takes at most 8' run --argument 1 --argument 2 --argument 3 \
	--argument 4 --argument 5 --argument 6 --argument 7 --argument 8 --argument 9 payload
refuses 2 '--paused needs --control' run --paused payload
refuses 2 'pause needs --control SOCKET' pause
refuses 1 'socket: No such file' status --control socket
