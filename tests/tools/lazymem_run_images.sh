#!/bin/bash
# lazymem run: images of every kind, traces that are recorded and replayed, numbers.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_cases.sh
. "$(dirname "$0")/lazymem_run_cases.sh"
cd "$work"

# restores IMAGE OPTION...: right, and whole in the end.
restores() {
	local image=$1
	shift
	plainly shared
	lazily shared "$image" --complete "$@"
	same_file shared
	plainly some-pages
	lazily some-pages "$image" "$@"
	lazily some-pages "$image" --complete "$@"
	same_file some-pages
}

make_image image
"$program" create image snapshot || fail "no snapshot"
keeps_image restores image
for layer in 0 1 2; do
	make_image "layer$layer" $layer 3
done
sums=$(sha256sum layer? snapshot)
restores layer0,layer1,layer2
restores snapshot --prefetch all
[ "$(sha256sum layer? snapshot)" = "$sums" ] || fail "an image has changed"
for compression in lz4 zstd; do
	has_compression $compression || continue
	succeeds create --compress $compression image packed
	restores packed
done
# Two regions, not in the order of their addresses: the file has them as the image.
cp image whole_pages
truncate -s "$size" whole_pages
succeeds create --region 4G:1M --region "0:$((size - 1048576))" whole_pages regions
restores regions --prefetch all
cp image changed
"$run_program" make changed "$length" $((seed + 1)) || fail "no other image"
succeeds diff snapshot changed layer
seed=$((seed + 1)) restores layer

# summary NAME: a number of the last summary.
summary() {
	case $1 in
	faults) sed -n 's/^lazymem run: \([0-9]*\) faults.*/\1/p' errors ;;
	pages) sed -n 's/^lazymem run: .* loaded in \([0-9]*\) pages.*/\1/p' errors ;;
	prefetched) sed -n 's/^lazymem run: .*(\([0-9]*\) of them prefetched).*/\1/p' errors ;;
	esac
}

# touches PAGES IMAGE OPTION...: the program does so, and the summary is of it.
touches() {
	local pages=$1 image=$2
	shift 2
	RUN_PROGRAM_PAGES=$pages runs "$image" --stats "$@" -- \
		"$run_program" some-pages "$memory" "$length" "$seed"
	[ "$status" -eq 0 ] || fail "some-pages $*: status $status"
	[ ! -s output ] || fail "some-pages $*: something on stdout"
}

# between LOW NUMBER HIGH
between() {
	[ "$1" -le "${2:--1}" ] && [ "$2" -le "$3" ] || fail "a number is ${2:-missing}, not in [$1, $3]"
}

for pages in 1 7 100; do
	touches $pages image
	between $pages "$(summary faults)" $((pages + 3))
	between $pages "$(summary pages)" $((pages + 3))
	[ "$(summary prefetched)" = 0 ] || fail "something was prefetched"
	! grep -qv '^lazymem run: ' errors || fail "more than a summary"
done
touches 7 image --prefetch all --complete
between 850 "$(summary pages)" 1024
RUN_PROGRAM_PAGES=1 runs image --stats -- true
[ "$status" -eq 0 ] || fail "a program that maps nothing: status $status"

# A trace is bound to its image, and replayed for it only.
touches 100 image --record trace
succeeds trace info --json trace
[ "$(jq '.touched_bytes / 4096 | floor' output)" -ge 94 ] || fail "not all pages are in the trace"
[ "$(jq '.bound_to != null' output)" = true ] || fail "the trace is not bound"
touches 100 image --replay trace --prefetch trace
between 90 "$(summary prefetched)" 104
lazily some-pages image --replay trace
touches 100 image --replay trace --prefetch none
[ "$(summary prefetched)" = 0 ] || fail "--prefetch none prefetches"
make_image other
touch -d '2001-01-01' other
touches 100 other --record foreign
touches 100 image --replay foreign
grep -q 'foreign' errors || fail "no warning of a foreign trace"
grep -v 'foreign' errors | grep -qv '^lazymem run: ' && fail "more than a warning"
[ "$(summary prefetched)" = 0 ] || fail "a foreign trace was replayed"
succeeds create --trace trace image traced
touches 100 traced --prefetch trace
between 90 "$(summary prefetched)" 104
restores traced --prefetch trace
restores traced
touches 100 regions --record trace
touches 100 regions --replay trace
between 90 "$(summary prefetched)" 104

# An image that is cut while the program runs: SIGBUS, and what was wrong.
rm -f "$memory"
export RUN_PROGRAM_IMAGE=$work/image
runs image -- "$run_program" image-gone "$memory" "$length" "$seed"
[ "$status" -eq 0 ] || fail "image-gone: status $status"
grep -q "$work/image" errors || fail "the image is not named"
