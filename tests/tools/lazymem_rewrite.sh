#!/bin/bash
# optimize: another order and another compression, and all else the same.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 512
random state 1000
succeeds create --region 1M:1M --region 0:1M --blob vm=state image plain
cp plain snapshot
identity=$(member plain '.layers[0].identity')
regions=$(member plain '.regions')

refuses 1 'has no working set' optimize snapshot
same plain snapshot

"$make_file" trace touched 4096 - 0x183000 0x3000 0x3000 0x1000 0x114000 0x4000
succeeds optimize --trace touched snapshot
exports snapshot image
is snapshot '.layers[0].identity' "$identity"
is snapshot '.regions' "$regions"
is snapshot '[.blobs[] | [.name, .length]]' '[["vm",1000]]'
is snapshot '[.trace.touched_bytes, .trace.ranges, .trace.bound_to]' "[32768,3,$identity]"

# A raw snapshot begins with the working set: the first page after the header
# that is data is the first that was touched.
dd if=image bs=4096 skip=131 count=3 of=first status=none
cmp -n 12288 first <(tail -c +4097 snapshot) || fail "the working set is not first"

# Its own trace is kept, and serves another file.
succeeds optimize snapshot other
exports other image
is other '.trace.touched_bytes' 32768
for compression in lz4 zstd; do
	has_compression $compression || continue
	succeeds optimize --compress $compression snapshot packed
	exports packed image
	is packed ".layers[0].pages.$compression > 0" true
	# Unless it is told otherwise, compression stays.
	succeeds optimize --trace touched packed
	exports packed image
	is packed ".layers[0].pages.$compression > 0" true
	is packed '.layers[0].identity' "$identity"
done
succeeds optimize --compress none plain other
exports other image

# A trace of this image, or of none; never of another one.
"$make_file" trace bound 4096 "$(tr -d '"' <<<"$identity")" 0x3000 0x1000
succeeds optimize --trace bound snapshot
is snapshot '.trace.touched_bytes' 4096
"$make_file" trace foreign 4096 "$(printf '%064d' 7)" 0x3000 0x1000
"$make_file" trace recorded 4096 ./image 0x3000 0x1000
succeeds create --trace recorded image other
is other '.trace.touched_bytes' 4096
refuses 1 'recorded: this trace is bound to another image' create --trace recorded state other2
cp snapshot before
refuses 1 'foreign: this trace is bound to another image' optimize --trace foreign snapshot
refuses 1 'foreign: this trace is bound to another image' create --trace foreign image other2
same before snapshot
refuses 1 'nosuch' optimize --trace nosuch snapshot
refuses 1 'image' optimize --trace image snapshot
refuses 1 'would be written over touched' optimize --trace touched snapshot touched

# A layer stays a layer, also elsewhere.
mkdir elsewhere
cp image changed
place state changed 40
succeeds diff plain changed layer
succeeds optimize --trace touched layer
exports layer changed
succeeds optimize --trace touched layer elsewhere/layer
exports elsewhere/layer changed
is layer '[.layers[].parent_path]' '["plain",null]'
is elsewhere/layer '[.layers[].parent_path]' '["../plain",null]'
is layer '.layers[0].pages.raw' 1
refuses 1 'would be written over plain' optimize --trace touched layer plain
