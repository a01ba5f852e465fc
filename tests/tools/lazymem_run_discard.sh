#!/bin/bash
# lazymem run: memory that is given back, cut off, allocated and advised.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

every_discard() {
	local name
	for name in dontneed remove punch punch-edges allocate truncate populate-advice \
		spanning-advice do-fork error-numbers; do
		both $name
	done
	# A prefetch brings nothing back.
	for name in dontneed punch-edges truncate spanning-advice; do
		both $name --prefetch all
	done
}

make_image image
keeps_image every_discard
