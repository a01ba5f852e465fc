#!/bin/bash
# The image of a real guest: its pages are compared with the file itself, and
# those that are zeros are not touched.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
# 256 pages of zeros, 256 of noise, a hole of 256, 256 of text, and half a page.
{
	head -c 1M /dev/zero
	head -c 1M /dev/urandom
} >guest
truncate -s 3M guest
{
	yes 'what a guest may hold' | head -c 1M
	head -c 2048 /dev/urandom
} >>guest || true
head -c 1M /dev/zero >zeros

refuses 1 'image nosuch: No such file' --guest-image nosuch kernel
refuses 1 'image guest is too short' --guest-image guest --memory 8M kernel
refuses 1 'nothing but zeros' --guest-image zeros kernel
refuses 1 'image zeros is too short' --guest-image zeros --workload helloworld --memory 256M kernel

# touched PAGES ARGUMENT...: so many pages are touched by each engine, and are right.
touched() {
	local pages=$1
	shift
	succeeds --guest-image guest --repeat 1 --json json "$@"
	[ "$(grep -c "\"pages\":$pages,.*\"mismatches\":0,.*\"proved\":true,\"failed\":false" json)" -gt 0 ] ||
		fail "not $pages pages, or not as they should be: $*"
	! grep -q 'MISMATCHES\|FAILED\|NOT PROVED' output || fail "$*"
}

touched 512 kernel eager
touched 512 --write kernel
touched 256 --memory 2M --source cached kernel
needs_userfaultfd
touched 512 --workload mixed --threads 3 naive mapped reap lazymem lazymem-prefetch
touched 512 --workload mixed --write --source cold naive reap lazymem lazymem-snapshot
