#!/bin/bash
# lazymem run: every way to map a file, and how views go, move and grow.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

every_view() {
	local name
	for name in shared private read-only reservation fixed-over populate locked part beyond \
		other-paths large-file-names protection unmap shrink grow move duplicate keep-old other-flags \
		many-views; do
		both $name
	done
}

make_image image
keeps_image every_view

# Yet another path: a bind mount.
bound() {
	mkdir "$shared_memory/alias"
	plainly other-paths
	# shellcheck disable=SC2016 # expanded by the inner shell
	runs image --complete -- unshare -m bash -c '
		mount --bind "$1" "$2/alias" || exit 78
		RUN_PROGRAM_ALIAS=$2/alias/memory "$0" other-paths "$1/memory" "$3" "$4"' \
		"$run_program" "$shared_memory" "$shared_memory" "$length" "$seed"
	[ "$status" -eq 0 ] || fail "other-paths with a bind mount: status $status"
	same_file other-paths
}

unshare -m true 2>/dev/null || skip "no mount name space for a bind mount; all else ran"
bound
