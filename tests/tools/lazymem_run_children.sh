#!/bin/bash
# lazymem run: children, with and without exec, while pages arrive.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

every_child() {
	local name
	for name in fork-exec fork-alone fork-while-mapping spawn; do
		holds $name
		both $name --prefetch all
	done
}

make_image image
keeps_image every_child

# A child has none of the memory, and may not map it for itself.
plainly fork-and-map
runs image -- "$run_program" fork-and-map "$memory" "$length" "$seed"
[ "$status" -eq 0 ] || fail "fork-and-map: status $status"
grep -q "^lazymem run: $memory is served in process" errors || fail "the child is not told"
[ "$(wc -l <errors)" -eq 1 ] || fail "more than one message"

# A program that forks before it maps anything.
both fork-then-map

# What was preloaded before is so for children, too.
preload=$(ldd "$run_program" | awk '/libc\.so/ { print $3 }')
[ -n "$preload" ] || skip "no library to preload beside ours; all else ran"
export RUN_PROGRAM_PRELOAD=$preload LD_PRELOAD=$preload
holds fork-exec
holds spawn
