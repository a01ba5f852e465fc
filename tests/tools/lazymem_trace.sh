#!/bin/bash
# Traces as sets, as numbers, and as a drawing.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

one=$(printf '%064d' 1)
two=$(printf '%064d' 2)
"$make_file" trace a 4096 - 0x8000 0x3000 0x1000 0x1000
"$make_file" trace b 4096 "$one" 0x9000 0x4000 0x0 0x2000
"$make_file" trace c 4096 "$two" 0x1000 0x1000
"$make_file" trace d 65536 - 0x0 0x10000
"$make_file" trace none 4096 -

succeeds trace info --json a
[ "$(jq -c . "$work/output")" = \
	'{"file":"a","format":"trace","touched_bytes":16384,"ranges":2,"page_size":4096,"bound_to":null}' ] ||
	fail "trace info --json"
succeeds trace info b
grep -q "^bound to *$one" "$work/output" || fail "the binding is not shown"
succeeds info b

# is_trace FILE BYTES RANGES BOUND
is_trace() {
	is "$1" '[.touched_bytes, .ranges, .bound_to]' "[$2,$3,$4]"
}

succeeds trace union a b out
is_trace out 28672 4 "\"$one\""
succeeds trace intersect a b out
is_trace out 12288 2 "\"$one\""
succeeds trace intersect a none out
is_trace out 0 0 null
succeeds trace union none a out
same a out
succeeds trace union a d none out
is_trace out 65536 5 null
is out '.page_size' 4096
succeeds trace union a b a
is_trace a 28672 4 "\"$one\""
refuses 1 'b and c are bound to different images' trace union b c out
refuses 1 'bound to different images' trace intersect d b c out

# A snapshot in place of a trace.
mixed image 64
"$make_file" trace touched 4096 - 0x8000 0x3000 0x1000 0x1000
succeeds create --trace touched image snapshot
succeeds create image plain
succeeds trace info --json snapshot
[ "$(jq -c '[.touched_bytes, .ranges]' "$work/output")" = '[16384,2]' ] || fail "snapshot"
succeeds trace union snapshot touched out
is_trace out 16384 2 "$(member snapshot '.layers[0].identity')"
refuses 1 'plain: this snapshot has no trace' trace info plain
refuses 1 'would be written over snapshot' trace union touched snapshot snapshot

refuses 1 'nosuch: No such file' trace info nosuch
refuses 1 'image' trace info image
head -c 90 touched >"cut"
refuses 1 'cut' trace info cut
refuses 1 'nosuch' trace union touched touched nosuch/out
refuses 1 '/dev/null: is no regular file' trace union touched touched /dev/null

# The drawing.
status=0
PATH=/nonexistent "$program" trace plot touched drawing.svg >output 2>errors || status=$?
[ "$status" -eq 1 ] || fail "status $status, not 1, without gnuplot"
grep -q 'needs gnuplot' errors || fail "gnuplot is not named"
command -v gnuplot >/dev/null || skip "gnuplot is not installed"
for file in touched snapshot; do
	succeeds trace plot $file drawing.svg
	grep -q '</svg>' drawing.svg || fail "the drawing is not whole"
	rm drawing.svg
done
refuses 1 'empty trace' trace plot none drawing.svg
refuses 1 'nosuch' trace plot touched nosuch/drawing.svg
refuses 1 '/dev/null: is no regular file' trace plot touched /dev/null
refuses 1 'would be written over touched' trace plot touched touched
[ -z "$(find . -name 'drawing*')" ] || fail "something was left behind"
