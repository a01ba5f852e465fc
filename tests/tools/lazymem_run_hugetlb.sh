#!/bin/bash
# lazymem run: a file on hugetlbfs, with pages of 2 MiB.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
pages=8
[ "$(id -u)" -eq 0 ] || skip "not root: no hugetlbfs is mounted"

# Of the file, and of two private mappings of it. Other tests use the pool, too.
wait_for_pages() {
	local pool=/sys/kernel/mm/hugepages/hugepages-2048kB tries
	for ((tries = 0; tries < 200; tries++)); do
		[ "$(($(cat $pool/free_hugepages) - $(cat $pool/resv_hugepages)))" -lt $((pages * 3)) ] ||
			return 0
		sleep 0.05
	done
	skip "less than $((pages * 3)) huge pages of 2 MiB are free"
}

wait_for_pages
if [ "${LAZYMEM_MOUNTED:-}" != yes ]; then
	unshare -m true 2>/dev/null || skip "no mount name space for hugetlbfs"
	rm -rf "$work" "$shared_memory"
	LAZYMEM_MOUNTED=yes exec unshare -m bash "$0" "$@"
fi
huge=$shared_memory/huge
mkdir "$huge"
mount -t hugetlbfs -o pagesize=2M none "$huge" || skip "no hugetlbfs"
trap 'umount -l "$huge"; rm -rf "$work" "$shared_memory"' EXIT
memory=$huge/memory
cd "$work"

size=$((pages * 2097152))
length=$((size - 1000))

every_huge_view() {
	local name
	for name in shared private reservation fixed-over populate protection unmap shrink move \
		dontneed remove punch-edges allocate truncate several system-calls fork-alone \
		error-numbers; do
		wait_for_pages
		both $name
	done
	both shared --prefetch all
	holds hammer
}

make_image image
keeps_image every_huge_view
