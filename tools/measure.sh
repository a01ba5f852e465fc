#!/bin/bash
# measure.sh - run the benchmark as docs/measurements.md tells, and write that
# page from the JSON of the runs.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"

usage() {
	cat <<'END'
usage: tools/measure.sh [--build-dir DIRECTORY] [--results DIRECTORY] [--page FILE]

  --build-dir DIRECTORY  build there (default: build-measure)
  --results DIRECTORY    the JSON of each run (default: BUILD-DIR/results);
                         a run whose file is there already is not repeated
  --page FILE            what is written (default: docs/measurements.md)
  --help                 print this

Needs root or sudo for packages that are missing, permission for userfaultfd,
and a machine that does nothing else for about ten minutes.
END
}

build_dir=$root_dir/build-measure
results=
page=$root_dir/docs/measurements.md

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--build-dir | --results | --page)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		case $1 in
		--build-dir) build_dir=$2 ;;
		--results) results=$2 ;;
		--page) page=$2 ;;
		esac
		shift 2
	done
	results=${results:-$build_dir/results}
}

# The runs: a name, what it shows, and the arguments of uffdbench.
runs=(
	"latency|What a fault costs, source cached, toucher and handler on one CPU|--memory 256M --workload random --source cached --pin same --repeat 15 floor kernel naive mapped lazymem lazymem-memfd"
	"cold|Sixteen threads, source cold|--memory 256M --workload random --source cold --threads 16 --repeat 5 kernel naive mapped lazymem lazymem-direct"
	"fill|In order, with everything prefetched in the background|--memory 256M --workload sequential --source cached --repeat 7 floor kernel eager naive lazymem lazymem-fill"
	"sparse|W4: 512 MiB in order, nine tenths of it holes or zeros|--workload sparse --source cached --repeat 3 kernel eager naive lazymem lazymem-fill"
	"restore|W5: 128 MiB in order right after a restore, of 1 GiB, source cold|--workload post-restore --source cold --repeat 3 kernel eager naive reap lazymem lazymem-fill"
	"functions|W1: ten functions, source cold|--workload functions --source cold --repeat 3 floor kernel naive mapped reap lazymem lazymem-fill"
)

measure() {
	local name=$1 arguments=$2
	[ ! -s "$results/$name.json" ] || return 0
	say "uffdbench $arguments"
	# shellcheck disable=SC2086 # these are several arguments
	"$build_dir/tools/uffdbench/uffdbench" $arguments --json "$results/$name.part" >/dev/null
	mv "$results/$name.part" "$results/$name.json"
}

# The medians over the repeats of one file, as rows of a table. A ratio is the
# median of the ratios inside each interleaved repeat.
rows='
def median: sort | if length == 0 then null
	elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def round2: if . == null then "-" else (. * 100 | round / 100 | tostring) end;
def us: if . == null then "-" else (. / 10 | round / 100 | tostring) end;
def ms: if . == null then "-" else (. / 10000 | round / 100 | tostring) end;
def ratio($runs; $engine; $other; field):
	[ $runs[] | select(.engine == $engine) as $a | $a
	  | ($runs[] | select(.engine == $other and .workload == $a.workload and .repeat == $a.repeat)) as $b
	  | ($a | field) / ($b | field) ] | median;
.runs as $all
| ([$all[] | .workload] | reduce .[] as $w ([]; if index($w) then . else . + [$w] end))[] as $workload
| [$all[] | select(.workload == $workload)] as $runs
| ([$runs[] | .engine] | reduce .[] as $e ([]; if index($e) then . else . + [$e] end))[] as $engine
| [$runs[] | select(.engine == $engine)] as $mine
| def m(f): [$mine[] | f] | median;
"| " + ([ (if $all | map(.workload) | unique | length > 1 then $workload else empty end),
  $engine, (m(.faults) | tostring), (m(.first_ns) | us), (m(.wall_ns) | ms), (m(.p50_ns) | us),
  (m(.p99_ns) | us), (m(.p999_ns) | us), (m(.pages / .wall_ns * 1e6) | round | tostring),
  (ratio($runs; $engine; "floor"; .p50_ns) | round2),
  (ratio($runs; $engine; "naive"; .p50_ns) | round2),
  (ratio($runs; "naive"; $engine; .wall_ns) | round2),
  (ratio($runs; $engine; "kernel"; .wall_ns) | round2),
  ([$mine[] | .mismatches] | add | tostring) ] | join(" | ")) + " |"
'

table() {
	local file=$1
	if [ "$(jq '[.runs[].workload] | unique | length' "$file")" -gt 1 ]; then
		printf '| workload '
	fi
	printf '| engine | faults | first (µs) | wall (ms) | p50 (µs) | p99 (µs) | p99.9 (µs) | pages/ms | p50 to floor | p50 to naive | pages/s to naive | wall to kernel | mismatches |\n'
	jq -r '"|" + ("---|" * (if [.runs[].workload] | unique | length > 1 then 14 else 13 end))' "$file"
	jq -r "$rows" "$file"
}

machine() {
	jq -r '.machine as $m | .calibration as $c |
		"\($m.cpus) CPUs (\($m.cpu), virtual), \($m.memory_bytes / 1073741824 | round) GiB of memory, \($m.kernel | split("-")[0]), \($m.architecture). "
		+ "Calibration of the first run: floor p50 \($c.floor_p50_ns / 10 | round / 100) µs; memcpy \($c.memcpy_bytes_per_second / 1e8 | round / 10) GB/s; "
		+ "device, random 4 KiB, \($c.random_depth1_per_second | round)/s at depth 1 and \($c.random_depth32_per_second | round)/s at depth 32, sequential \($c.sequential_bytes_per_second / 1e7 | round / 100) GB/s."' \
		"$results/latency.json"
}

write_page() {
	local entry name what arguments
	cat <<'END'
# Measurements

Written by `tools/measure.sh` from the JSON of the runs; nothing here is typed in. What each engine does and how each number is defined is in uffdbench(1).

Every figure is a median over the repeats of one run in which the engines take turns. A ratio is the median of the ratios inside each turn, so what slows the machine for a while slows both sides. Absolute times are for orientation. Every touched page of every engine with a source was compared with the image; the last column counts the pages that differed.

END
	printf '## The machine\n\n'
	machine
	for entry in "${runs[@]}"; do
		IFS='|' read -r name what arguments <<<"$entry"
		printf '\n## %s\n\n`uffdbench %s`\n\n' "$what" "$arguments"
		table "$results/$name.json"
	done
}

main() {
	local entry name what arguments
	parse "$@"
	install_packages build-essential cmake ninja-build pkg-config liburing-dev jq
	build "$build_dir" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF -DLAZYMEM_EXAMPLES=OFF
	mkdir -p "$results"
	for entry in "${runs[@]}"; do
		IFS='|' read -r name what arguments <<<"$entry"
		measure "$name" "$arguments"
	done
	write_page >"$page.part"
	mv "$page.part" "$page"
	say "written: $page"
}

main "$@"
