#!/bin/bash
# lazymem run: many threads on many views, the kernel's own accesses, and random calls
# beside a model.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

every_thread() {
	local name
	for name in several system-calls other-memory; do
		holds $name
		both $name --prefetch all
	done
	holds hammer
	holds hammer --prefetch all
}

make_image image
keeps_image every_thread

for seed in 1 2; do
	make_image image
	keeps_image both random
	keeps_image both random-threads --prefetch all
done
