#!/bin/bash
# From and to huge pages, with rounds of copying.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

needs_hugetlb 32
source_of --kind hugetlb
destination_of --kind hugetlb
depart --rounds 2
arrived
