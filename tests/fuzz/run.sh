#!/bin/bash
# run.sh - fuzz each parser for some seconds, from a corpus made here; as many at
# once as there are processors.
#
#   tests/fuzz/run.sh BUILD-DIRECTORY SECONDS
#
# What it finds stays in BUILD-DIRECTORY/fuzz, as do the words of each harness.
set -euo pipefail
build_dir=$(cd "$1" && pwd)
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$build_dir/fuzz

# Each harness and the longest input for it. The slow ones first, so that none is
# left over at the end.
harnesses=(
	"snapshot_file 65536"
	"snapshot_format 65536"
	"codec 65536"
	"mapped_ram 4096"
	"elf_core 4096"
	"cloud_hypervisor 4096"
	"trace 4096"
)

# No input is an excuse to take memory: of one piece, or together. What was freed
# is kept for a while to catch late uses, but not so much of it.
export ASAN_OPTIONS=quarantine_size_mb=16:${ASAN_OPTIONS:-}

# Each harness runs twice for half of the time: the second run goes on from the
# corpus that the first has left, and no processor idles for long at the end.
halves=2

# fuzz NAME LONGEST HALF: its final statistics in one piece, or all that it said.
fuzz() {
	local name=$1 longest=$2 log=$work/$1-$3.log options=()
	[ ! -e "$here/$name.dict" ] || options=("-dict=$here/$name.dict")
	cd "$work"
	if "$build_dir/tests/fuzz/fuzz_$name" -max_total_time="$(((seconds + halves - 1) / halves))" -max_len="$longest" \
		-rss_limit_mb=512 -malloc_limit_mb=64 -timeout=60 -keep_seed=1 \
		-artifact_prefix="$work/$name-" -print_final_stats=1 "${options[@]}" "$name" \
		>"$log" 2>&1; then
		printf '%s\n%s\n' "$name, run $3: nothing found" "$(grep '^stat::' "$log")"
	else
		printf '%s\n%s\n' "$name, run $3: FAILED" "$(tail -n 100 "$log")"
		return 1
	fi
}

mkdir -p "$work"
"$here/seed.sh" "$build_dir" "$work"
failed=0
running=0
for ((half = 1; half <= halves; half++)); do
	for harness in "${harnesses[@]}"; do
		if [ "$running" -ge "$(nproc)" ]; then
			wait -n || failed=1
			running=$((running - 1))
		fi
		read -r name longest <<<"$harness"
		fuzz "$name" "$longest" "$half" &
		running=$((running + 1))
	done
done
for ((; running > 0; running--)); do
	wait -n || failed=1
done
exit "$failed"
