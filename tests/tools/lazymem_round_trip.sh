#!/bin/bash
# What goes in comes out, byte for byte, however it is compressed, however long
# it is, and with its holes.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 1024
for compression in none lz4 zstd; do
	has_compression $compression || continue
	for chunk in 4K 16K 256K; do
		succeeds create --compress $compression --chunk $chunk image snapshot
		exports snapshot image
	done
	[ $compression = none ] || succeeds create --compress $compression --level 1 image snapshot
	exports snapshot image
done
[ "$(wc -c <snapshot)" -lt "$(wc -c <image)" ] || fail "nothing was compressed, nor left out"

# Odd lengths: less than a page, a page, and beyond.
for length in 1 4095 4096 4097 100001; do
	random odd $length
	succeeds create odd snapshot
	exports snapshot odd
done

# All zeros, stored and not.
truncate -s 1M holes
head -c 1048576 /dev/zero >zeros
for image in holes zeros; do
	succeeds create $image snapshot
	exports snapshot $image
	is snapshot '.layers[0].pages.raw' 0
done

# Zeros become holes.
if [ "$(stat -f -c %T .)" != tmpfs ]; then
	succeeds create image snapshot
	succeeds export snapshot sparse
	[ "$(du -k sparse | cut -f1)" -lt 2200 ] || fail "zeros are no holes"
fi

# A snapshot of a snapshot has another identity.
succeeds create image snapshot
succeeds create snapshot again
exports again image
[ "$(member snapshot '.layers[0].identity')" != "$(member again '.layers[0].identity')" ] ||
	fail "two snapshots with one identity"

# Blobs come back with the rest.
random state 5000
: >nothing
succeeds create --blob vm=state --blob empty=nothing image snapshot
is snapshot '[.blobs[] | [.name, .length]]' '[["vm",5000],["empty",0]]'

refuses 1 'level 1, and no compression' create --level 1 image snapshot
refuses 1 'nosuch: No such file' create nosuch snapshot
refuses 1 'nosuch: No such file' create --blob x=nosuch image snapshot
refuses 1 'nothing' create nothing other
refuses 1 'two' create --blob two=state --blob two=state image other
refuses 1 'nosuch' create image nosuch/snapshot
refuses 1 'nosuch' export snapshot nosuch/image
refuses 1 'Is a directory' export snapshot .
refuses 1 'would be written over image' create image image
refuses 1 'would be written over state' create --blob vm=state image state
refuses 1 'would be written over snapshot' export snapshot snapshot
mkfifo fifo
for output in fifo /dev/null; do
	refuses 1 "$output: is no regular file" create image $output
	refuses 1 "$output: is no regular file" export snapshot $output
done
ln image link
refuses 1 'would be written over image' create image link
exports snapshot image
