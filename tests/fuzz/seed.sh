#!/bin/bash
# seed.sh - the corpus that fuzzing traces begins with: sound files, and damaged
# copies of them.
#
#   tests/fuzz/seed.sh BUILD-DIRECTORY CORPUS-DIRECTORY
set -euo pipefail
build_dir=$1
corpus=$2

"$build_dir/tests/fuzz/seed_trace" "$corpus"

# damage NAME OFFSET: a copy of "many" with one byte changed.
damage() {
	cp "$corpus/many" "$corpus/$1"
	printf '\xff' | dd of="$corpus/$1" bs=1 seek="$2" conv=notrunc status=none
}

damage bad-version 8
damage bad-page-size 18
damage bad-count 24
damage bound-to-image 40
damage unaligned 64
damage wraps 71
head -c 63 "$corpus/many" >"$corpus/cut-in-header"
head -c 100 "$corpus/many" >"$corpus/cut-in-run"
cat "$corpus/one" "$corpus/one" >"$corpus/twice"
