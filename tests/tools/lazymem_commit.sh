#!/bin/bash
# commit: what was written over a snapshot becomes a layer over it. And what info says
# of an overlay.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
make_overlay=$3
cd "$work"

# change_both PAGE PAGES: other bytes there, in the overlay and in what is expected.
change_both() {
	random change $(($2 * 4096))
	place change expected "$1"
	"$make_overlay" overlay base write $(($1 * 4096)) change
}

mixed image 256
cp image expected
succeeds create --region 4G:1M image base
cp base base.before

change_both 3 2
change_both 100 30
"$make_overlay" overlay base discard $((20 * 4096)) $((4 * 4096))
place <(head -c 16384 /dev/zero) expected 20
printf 'unaligned' | tee change | dd of=expected bs=1 seek=820000 conv=notrunc status=none
"$make_overlay" overlay base write 820000 change

# What it is.
is overlay 'keys_unsorted' \
	'["file","format","memory_bytes","base","written_bytes","discarded_bytes","file_bytes"]'
is overlay '[.format, .memory_bytes, .written_bytes, .discarded_bytes]' \
	'["overlay",1048576,135168,16384]'
is overlay '.base' "$(member base '.layers[0].identity')"
succeeds info overlay
for word in overlay base written discarded; do
	grep -q "$word" "$work/output" || fail "info does not name: $word"
done

# A layer with the same bytes, over a snapshot that nobody has touched.
mkdir layers
succeeds commit overlay --parent base layers/one
same base.before base
exports layers/one expected
is layers/one '[.layers[].parent_path]' '["../base",null]'
is layers/one '.regions' '[{"address":4294967296,"length":1048576,"offset":0}]'
is layers/one '.layers[0].pages | [.raw, .parent, .zero] | add' 256
[ "$(member layers/one '.layers[0].pages.parent')" -ge 219 ] || fail "the layer is not sparse"
[ "$(member layers/one '.layers[0].identity')" != "$(member base '.layers[0].identity')" ] ||
	fail "other bytes, and the same identity"

# It goes on from there, also after another overlay over the layer.
succeeds commit --parent base overlay layers/again
exports layers/again expected
"$make_overlay" upper layers/one discard 0 4096
place <(head -c 4096 /dev/zero) expected 0
succeeds commit --parent layers/one upper layers/two
exports layers/two expected

# Memory that begins in the middle and ends in a page, with gaps and out of order.
random odd 300000
succeeds create --region 2G:128K --region 64K:64K --region 1G:104K odd oddbase
random patch 9000
cp odd expected
place patch expected 30
printf 'end' | tee end | dd of=expected bs=1 seek=299997 conv=notrunc status=none
"$make_overlay" oddoverlay oddbase write $((30 * 4096)) patch write 299997 end
succeeds commit --parent oddbase oddoverlay oddlayer
exports oddlayer expected
is oddlayer '.layers[0].pages.raw' 4

# What is in use, another's, or no overlay, is refused by name.
coproc holder { "$make_overlay" overlay base hold; }
# shellcheck disable=SC2154 # set by coproc
holder_process=$holder_PID
read -r -u "${holder[0]}" _
refuses 1 'overlay: it is open already' commit --parent base overlay layers/three
refuses 1 'overlay: it is open already' info overlay
eval "exec ${holder[1]}>&-"
wait "$holder_process"
refuses 1 'another base' commit --parent layers/one overlay layers/three
refuses 1 'image' commit --parent base image layers/three
refuses 1 'nosuch' commit --parent base nosuch layers/three
refuses 1 'nosuch' commit --parent nosuch overlay layers/three
refuses 1 'would be written over' commit --parent base overlay base
refuses 1 'would be written over' commit --parent base overlay overlay
refuses 2 'commit needs --parent' commit overlay layers/three
[ ! -e layers/three ] || fail "something was written after a refusal"
[ ! -e nosuch ] || fail "an overlay was made"

# An overlay without its base is no memory.
refuses 1 'is an overlay' create overlay other
refuses 1 'is an overlay' export overlay other
refuses 1 'is no raw image' create image,overlay other
refuses 2 '--format overlay' create --format overlay overlay other

# Damage.
cp overlay damaged
printf 'x' | dd of=damaged bs=1 seek=4100 conv=notrunc status=none
refuses 1 'sector 0 of its map' info damaged
refuses 1 'sector 0 of its map' commit --parent base damaged other
truncate -s 100000 damaged
refuses 1 'damaged' info damaged
