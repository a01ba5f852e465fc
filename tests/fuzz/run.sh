#!/bin/bash
# run.sh - fuzz each parser for some seconds, from a corpus made here.
#
#   tests/fuzz/run.sh BUILD-DIRECTORY SECONDS
#
# What it finds stays in BUILD-DIRECTORY/fuzz.
set -euo pipefail
build_dir=$(cd "$1" && pwd)
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)

work=$build_dir/fuzz
mkdir -p "$work/trace"
"$here/seed.sh" "$build_dir" "$work/trace"
cd "$work"
"$build_dir/tests/fuzz/fuzz_trace" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=512 \
	-timeout=5 -print_final_stats=1 trace
