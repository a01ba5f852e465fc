#!/bin/bash
# info: what every kind of file is and holds, for people and for programs.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 256
"$make_file" trace touched 4096 - 0x3000 0x2000
is image '[.file, .format, .memory_bytes]' '["image","raw",1048576]'

succeeds create --trace touched --blob vm=touched image snapshot
is snapshot 'keys_unsorted' \
	'["file","format","memory_bytes","data_bytes","regions","blobs","trace","layers"]'
is snapshot '[.format, .memory_bytes]' '["snapshot",1048576]'
is snapshot '.trace | [.touched_bytes, .ranges, .page_size]' '[8192,1,4096]'
is snapshot '.layers | length' 1
is snapshot '.layers[0] | keys_unsorted' \
	'["path","identity","parent","parent_path","file_bytes","chunks","pages","stored_bytes","compression_ratio"]'
is snapshot '.layers[0].pages | add' 256
is snapshot '.layers[0] | [.pages.raw, .stored_bytes.raw, .compression_ratio]' '[120,491520,1]'
is snapshot '.layers[0].file_bytes' "$(wc -c <snapshot)"
is snapshot '.layers[0].identity | length' 64
succeeds info snapshot
for word in regions identity blobs 'working set' raw zero ratio; do
	grep -q "^$word" "$work/output" || fail "info does not name: $word"
done

for compression in lz4 zstd; do
	has_compression $compression || continue
	succeeds create --compress $compression image packed
	is packed '.layers[0].compression_ratio > 1.5' true
	is packed ".layers[0].stored_bytes.$compression < 81920" true
done

# A name that needs escapes.
cp snapshot 'a "b" \c'
[ "$("$program" info --json 'a "b" \c' | jq -r .file)" = 'a "b" \c' ] || fail "escapes"

refuses 1 'nosuch: No such file' info nosuch
: >empty
refuses 1 'empty' info empty
status=0
"$program" info --json snapshot >/dev/full 2>errors || status=$?
[ "$status" -eq 1 ] || fail "a full disk is not noticed"
