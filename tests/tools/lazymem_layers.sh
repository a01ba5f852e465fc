#!/bin/bash
# Layers: raw ones, and those that diff and --parent make.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

# change FILE PAGE PAGES: other bytes there.
change() {
	head -c $(($3 * 4096)) /dev/urandom >change
	place change "$1" "$2"
}

# Raw layers: data of the topmost one, holes fall through.
mixed base 256
truncate -s 1M first second
change first 10 4
change second 12 1
change second 200 2
cp base expected
place <(dd if=first bs=4096 skip=10 count=4 status=none) expected 10
place <(dd if=second bs=4096 skip=12 count=1 status=none) expected 12
place <(dd if=second bs=4096 skip=200 count=2 status=none) expected 200
succeeds export base,first,second flat
same expected flat
succeeds create base,first,second snapshot
exports snapshot expected
refuses 1 'would be written over first' create base,first first
refuses 1 'nosuch' create base,nosuch other
refuses 1 'is no raw image, and so no layer' create base,snapshot other
truncate -s 2M long
refuses 1 'long' create base,long other
cp base 'a,b'
succeeds export 'a,b' flat
same base flat

# A layer over a snapshot, and one over that, each in a directory of its own.
mkdir lower middle upper
cp base image1
succeeds create --region 4G:1M --blob vm=first base lower/base
change image1 5 3
succeeds diff lower/base image1 middle/one
cp image1 image2
head -c 40960 /dev/zero >change
place change image2 3
change image2 100 20
succeeds create --parent middle/one image2 upper/two
exports middle/one image1
exports upper/two image2
is upper/two '[.layers[].parent_path]' '["../middle/one","../lower/base",null]'
is upper/two '.regions' '[{"address":4294967296,"length":1048576,"offset":0}]'
[ "$(member middle/one '.layers[0].pages.parent')" -eq 253 ] || fail "the layer is not sparse"

# A directory that moves as a whole keeps its layers together.
mkdir moved
mv lower middle upper moved
exports moved/upper/two image2
mv moved/* .

# A layer of two snapshots is as the second one: identity, trace and blobs.
"$make_file" trace touched 4096 - 0x100005000 0x2000 0x100000000 0x1000
succeeds create --region 4G:1M --trace touched --blob cpu=change image2 whole
succeeds diff lower/base whole thin
exports thin image2
is thin '.layers[0].identity' "$(member whole '.layers[0].identity')"
is thin '.trace.touched_bytes' 12288
is thin '[.blobs[].name]' '["cpu"]'
succeeds diff whole whole same
[ "$(member same '.layers[0].identity')" != "$(member whole '.layers[0].identity')" ] ||
	fail "a layer is its own parent"

# merge: one file, the same bytes and identity.
succeeds merge upper/two merged
exports merged image2
is merged '.layers | length' 1
is merged '.layers[0].identity' "$(member upper/two '.layers[0].identity')"
succeeds merge thin thin
exports thin image2
is thin '[(.layers | length), .trace.touched_bytes, .blobs[0].name]' '[1,12288,"cpu"]'
succeeds diff merged image2 over
exports over image2

refuses 1 'would be written over' merge upper/two lower/base
refuses 1 'would be written over' diff lower/base image1 lower/base
refuses 1 'would be written over' diff lower/base image1 image1
refuses 1 'would be written over' create --parent middle/one image2 lower/base
refuses 1 'long' diff lower/base long other
refuses 1 'base: it does not begin with LZMSNAPS' diff base image1 other
refuses 1 'region' create --parent lower/base --region 0:1M image1 other

# A parent that is gone, or is another one, is named.
mv lower/base lower/away
refuses 1 'lower/base' export middle/one flat
succeeds create --region 4G:1M base lower/base
refuses 1 'lower/base' export middle/one flat
