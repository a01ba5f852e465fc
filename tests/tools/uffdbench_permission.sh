#!/bin/bash
# Without permission for userfaultfd: status 77, and what is missing is named;
# engines that need none run all the same.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip "not root: cannot become somebody else"
command -v setpriv >/dev/null || skip "setpriv is not installed"
[ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null || echo 0)" = 0 ] ||
	skip "vm.unprivileged_userfaultfd allows everybody"

# Where nobody else may look, the program has to be copied.
cp "$program" "$work/uffdbench"
chmod 755 "$work" "$work/uffdbench"
mkdir -m 777 "$work/open"
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all)
if "${nobody[@]}" test -w /dev/userfaultfd; then
	skip "/dev/userfaultfd allows everybody"
fi
program=$work/nobody
printf '#!/bin/sh\nexec %s "$@"\n' "${nobody[*]} $work/uffdbench" >"$program"
chmod 755 "$program"

run --memory 1M floor
[ "$status" -eq 77 ] || fail "status $status, not 77"
for missing in /dev/userfaultfd CAP_SYS_PTRACE vm.unprivileged_userfaultfd 'give one of them'; do
	grep -qF "$missing" "$work/errors" || fail "$missing is not named"
done
succeeds --directory "$work/open" --memory 1M --repeat 1 kernel eager
grep -q 'floor, p50  *not measured' "$work/output" || fail "floor was measured"
