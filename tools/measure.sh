#!/bin/bash
# measure.sh - run the benchmark as docs/measurements.md tells, and write that
# page from the JSON of the runs.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"

usage() {
	cat <<'END'
usage: tools/measure.sh [--build-dir DIRECTORY] [--results DIRECTORY] [--page FILE]
                        [--plots DIRECTORY] [--only-dirty]

  --build-dir DIRECTORY  build there (default: build-measure)
  --results DIRECTORY    the JSON of each run (default: BUILD-DIR/results);
                         a run whose file is there already is not repeated
  --page FILE            what is written (default: docs/measurements.md)
  --plots DIRECTORY      where its drawings go (default: plots beside the page)
  --only-dirty           of the page, only the section about written pages is made anew
  --help                 print this

Needs root or sudo for packages that are missing, permission for userfaultfd,
and a machine that does nothing else for about half an hour.
END
}

build_dir=$root_dir/build-measure
results=
page=$root_dir/docs/measurements.md
plots=
only_dirty=

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--only-dirty)
			only_dirty=yes
			shift
			continue
			;;
		--build-dir | --results | --page | --plots)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		case $1 in
		--build-dir) build_dir=$2 ;;
		--results) results=$2 ;;
		--page) page=$2 ;;
		--plots) plots=$2 ;;
		esac
		shift 2
	done
	results=${results:-$build_dir/results}
	plots=${plots:-$(dirname "$page")/plots}
	[ -d "$(dirname "$page")" ] || die "$page: there is no directory $(dirname "$page")"
	[ ! -d "$page" ] || die "$page is a directory"
	[ -z "$only_dirty" ] || check_page
}

# There must be a place for the section.
check_page() {
	[ -f "$page" ] || die "there is no file $page to be made anew in part"
	grep -qxF "$dirty_next" "$page" || die "$page has no section \"${dirty_next#\#\# }\""
}

# The runs: a name, what it shows, and the arguments of uffdbench.
runs=(
	"latency|What a fault costs, source cached, toucher and handler on one CPU|--memory 256M --workload random --source cached --pin same --repeat 15 floor kernel naive mapped lazymem lazymem-memfd"
	"cold|Sixteen threads, source cold|--memory 256M --workload random --source cold --threads 16 --repeat 5 kernel naive mapped lazymem lazymem-direct"
	"fill|In order, with everything prefetched in the background|--memory 256M --workload sequential --source cached --repeat 7 floor kernel eager naive lazymem lazymem-fill"
	"sparse|W4: 512 MiB in order, nine tenths of it holes or zeros|--workload sparse --source cached --repeat 3 kernel eager naive lazymem lazymem-fill"
	"restore|W5: 128 MiB in order right after a restore, of 1 GiB, source cold|--workload post-restore --source cold --repeat 3 kernel eager naive reap lazymem lazymem-fill"
	"functions|W1: ten functions, source cold|--workload functions --source cold --repeat 3 kernel reap naive lazymem lazymem-prefetch lazymem-snapshot lazymem-verified"
	"functions-write|W1: ten functions, source cached, touched by writing|--workload functions --source cached --write --repeat 3 kernel reap naive lazymem lazymem-prefetch lazymem-snapshot lazymem-verified"
	"functions-same|W1: ten functions, source cached, touched by writing, toucher and handler on one CPU|--workload functions --source cached --write --pin same --repeat 3 kernel reap lazymem-prefetch lazymem-snapshot"
	"functions-read|W1: ten functions, source cached, touched by reading|--workload functions --source cached --repeat 3 kernel reap lazymem-prefetch lazymem-snapshot"
	"guests|W7: what three real guests touch, source cold|--workload guests --source cold --repeat 3 kernel reap naive lazymem lazymem-prefetch lazymem-snapshot"
	"compression|The memory of a real guest, compressed, source cached|--guest-image guest.img --workload random --source cached --pin same --repeat 5 kernel lazymem lazymem-verified lazymem-lz4 lazymem-zstd"
)

# What --dirty measures, and what each measurement shows.
dirty_title="## What it costs to know, and to keep, what the guest has written"
dirty_arguments="--dirty --repeat 5"
dirty_next="## First touches"
dirty_measurements=(
	"track|The guest's first write to a page, and asking which pages were written"
	"sync-pages|Making the pages durable in a file"
	"sync-runs|The same of as many pages in runs of 64 KiB"
	"moment|An incremental snapshot of a guest that goes on writing"
)

# Workloads whose first touches are drawn.
drawn=(helloworld image_rotate boot http sort)

# Before whatever else the machine has to do in the background, where that is
# permitted.
realtime=()
! chrt -f 20 true 2>/dev/null || realtime=(chrt -f 20)

# Runs of several workloads are drawn too.
measure() {
	local name=$1 arguments=$2
	[ ! -s "$results/$name.json" ] || return 0
	say "uffdbench $arguments"
	# shellcheck disable=SC2086 # these are several arguments
	(cd "$results" && "${realtime[@]}" "$build_dir/tools/uffdbench/uffdbench" $arguments \
		--json "$name.part" --plot "$name-plot" >/dev/null)
	mv "$results/$name.part" "$results/$name.json"
}

# At the usual priority: guests that never sleep would keep everybody else of theirs out.
measure_dirty() {
	[ ! -s "$results/dirty.json" ] || return 0
	say "uffdbench $dirty_arguments"
	# shellcheck disable=SC2086 # these are several arguments
	(cd "$results" && "$build_dir/tools/uffdbench/uffdbench" $dirty_arguments --json dirty.part \
		>/dev/null)
	mv "$results/dirty.part" "$results/dirty.json"
}

# The guest, and what it comes to as a snapshot of each kind.
make_guest() {
	local kind
	[ ! -s "$results/snapshots.json" ] || return 0
	[ -s "$results/guest.img" ] || "$root_dir/tools/guest-image.sh" "$results/guest.img"
	for kind in none lz4 zstd; do
		say "lazymem create --compress $kind guest.img" >&2
		"$build_dir/tools/lazymem/lazymem" create --compress "$kind" "$results/guest.img" \
			"$results/guest-$kind.snapshot"
		"$build_dir/tools/lazymem/lazymem" info --json "$results/guest-$kind.snapshot" |
			jq --arg compression "$kind" '. + {compression: $compression}'
		rm "$results/guest-$kind.snapshot"
	done | jq -s . >"$results/snapshots.part"
	mv "$results/snapshots.part" "$results/snapshots.json"
}

draw_first_touches() {
	local name
	for name in "${drawn[@]}"; do
		[ ! -s "$plots/first-touch-$name.svg" ] || continue
		rm -f "$results/$name.trace"
		"$build_dir/tools/uffdbench/uffdbench" --make-trace "$results/$name.trace" --workload "$name"
		"$build_dir/tools/lazymem/lazymem" trace plot "$results/$name.trace" \
			"$plots/first-touch-$name.svg"
	done
}

# The medians over the repeats of one file, as rows of a table. A ratio is the
# median of the ratios inside each interleaved repeat.
rows='
def median: map(select(. != null)) | sort | if length == 0 then null
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
  (if m(.recorded_faults) == null then "-" else (m(.recorded_faults / .recorded_pages) * 1000 | round / 10 | tostring) + " %" end),
  (m(.demand_p99_ns) | us),
  ([$mine[] | .mismatches] | add | tostring) ] | join(" | ")) + " |"
'

table() {
	local file=$1
	if [ "$(jq '[.runs[].workload] | unique | length' "$file")" -gt 1 ]; then
		printf '| workload '
	fi
	printf '| engine | faults | first (µs) | wall (ms) | p50 (µs) | p99 (µs) | p99.9 (µs) | pages/ms | p50 to floor | p50 to naive | pages/s to naive | wall to kernel | recorded pages that faulted | p99 of faults (µs) | mismatches |\n'
	jq -r '"|" + ("---|" * (if [.runs[].workload] | unique | length > 1 then 16 else 15 end))' "$file"
	jq -r "$rows" "$file"
}

# The geometric means, as uffdbench has worked them out.
means() {
	printf '| engine | wall to kernel | wall to reap | first to reap | recorded pages that faulted | p99 of faults to lazymem-verified |\n|---|---|---|---|---|---|\n'
	jq -r 'def round3: if . == null then "-" else (. * 1000 | round / 1000 | tostring) end;
		.summary[] | "| " + ([.engine, (.wall_to_kernel | round3), (.wall_to_reap | round3),
			(.first_to_reap | round3),
			(if .recorded_faults_share == null then "-" else (.recorded_faults_share * 1000 | round / 10 | tostring) + " %" end),
			(.demand_p99_to_verified | round3)] | join(" | ")) + " |"' "$1"
}

# What compression comes to, of the guest's image.
compression() {
	printf '| compression | file (MiB) | of the image | image to file | data without zero pages to file |\n|---|---|---|---|---|\n'
	jq -r '.[] | .layers[0] as $l | (.memory_bytes / $l.file_bytes) as $ratio
		| "| \(.compression) | \($l.file_bytes / 104857.6 | round / 10) | \(1000 / $ratio | round / 10) % | \($ratio * 100 | round / 100) | \((.memory_bytes - $l.pages.zero * 4096) / $l.file_bytes * 100 | round / 100) |"' \
		"$results/snapshots.json"
}

# The medians over the repeats of one measurement of --dirty, as a table.
dirty_table='
def median: map(select(. != null)) | sort | if length == 0 then null
	elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def per($unit): if . == null then "-" else (. / $unit * 100 | round / 100 | tostring) end;
{
	"track": [["first write (µs)", "first_write_ns", 1e3], ["more than untracked (µs)", "first_write_extra_ns", 1e3],
		["collect (ms)", "collect_ns", 1e6], ["ms per GiB", "collect_ns_per_gib", 1e6]],
	"sync-pages": [["sync (ms)", "sync_ns", 1e6], ["MiB/s", "bytes_per_second", 1048576],
		["rate to the best plain loop", "to_best_plain", 1]],
	"moment": [["pause (ms)", "pause_ns", 1e6], ["copied in it (MiB)", "pause_bytes", 1048576],
		["copied before (MiB)", "rounds_bytes", 1048576], ["rounds", "rounds", 1],
		["writing (ms)", "write_ns", 1e6], ["layer (MiB)", "layer_bytes", 1048576]]
} as $columns
| (.runs | map(select(.measurement == $name))) as $runs
| $columns[if $name == "sync-runs" then "sync-pages" else $name end] as $mine
| "| way | " + ($mine | map(.[0]) | join(" | ")) + " | wrong pages |",
  "|" + "---|" * ($mine | length + 2),
  (reduce ($runs[] | .way) as $w ([]; if index($w) then . else . + [$w] end) | .[]) as $way
| [$runs[] | select(.way == $way)] as $rows
| "| " + ([$way] + [$mine[] as $c | [$rows[] | .[$c[1]]] | median | per($c[2])]
	+ [[$rows[] | .wrong] | add | tostring] | join(" | ")) + " |"
'

# picture TITLE FILE: of the drawings.
picture() {
	printf '\n![%s](%s/%s)\n' "$1" "$(basename "$plots")" "$2"
}

machine() {
	jq -r '.machine as $m | .calibration as $c |
		"\($m.cpus) CPUs (\($m.cpu), virtual), \($m.memory_bytes / 1073741824 | round) GiB of memory, \($m.kernel | split("-")[0]), \($m.architecture). "
		+ "Calibration of the first run: floor p50 \($c.floor_p50_ns / 10 | round / 100) µs; memcpy \($c.memcpy_bytes_per_second / 1e8 | round / 10) GB/s; "
		+ "device, random 4 KiB, \($c.random_depth1_per_second | round)/s at depth 1 and \($c.random_depth32_per_second | round)/s at depth 32, sequential \($c.sequential_bytes_per_second / 1e7 | round / 100) GB/s."' \
		"$results/latency.json"
	priority
}

# At which priority the runs were, if all of them were at the same one.
priority() {
	local entry name
	local files=()
	for entry in "${runs[@]}"; do
		IFS='|' read -r name _ <<<"$entry"
		files+=("$results/$name.json")
	done
	jq -rs 'map(.machine.realtime_priority // 0) | unique
		| if length > 1 then "Some of the runs were at real-time priority, and some were not."
		elif .[0] == 0 then "The runs were at the usual priority."
		else "The runs were at real-time priority (`chrt -f \(.[0])`), so that what the machine does in the background waited." end' \
		"${files[@]}"
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
		[ "$name" != compression ] || write_guest
		table "$results/$name.json"
		[ "$(jq '.summary | length' "$results/$name.json")" -gt 0 ] || continue
		write_means "$name" "$what"
	done
	write_dirty
	write_first_touches
}

write_dirty() {
	local entry name what
	printf '\n%s\n\n`uffdbench %s`\n\n' "$dirty_title" "$dirty_arguments"
	jq -r '.runs[0] | "At the usual priority. The guest has \(.memory_bytes / 1073741824) GiB, all of it there, and writes \(.pages) pages, scattered over all of it. The ways and the columns are explained in uffdbench(1); wrong pages are those that were told or kept otherwise than they were written."' \
		"$results/dirty.json"
	for entry in "${dirty_measurements[@]}"; do
		IFS='|' read -r name what <<<"$entry"
		printf '\n%s (`%s`):\n\n' "$what" "$name"
		jq -r --arg name "$name" "$dirty_table" "$results/dirty.json"
	done
}

# The page as it is, with that section in its place, before the last one.
replace_dirty() {
	awk -v title="$dirty_title" -v last="$dirty_next" -v section="$results/dirty.md" '
		/^## / { passed_over = $0 == title }
		$0 == last { while ((getline line <section) > 0) print line; print "" }
		!passed_over' "$page"
}

write_guest() {
	cat <<'END'
`tools/guest-image.sh guest.img` boots Debian's cloud kernel with busybox under QEMU's software emulation, lets it read, sort and compress files, and writes out its memory, 512 MiB. `lazymem create --compress KIND guest.img FILE` makes of it:

END
	compression
	printf '\nDemand, on those pages of it that are not zeros:\n\n'
}

write_means() {
	local name=$1 what=$2
	printf '\nGeometric means over the workloads:\n\n'
	means "$results/$name.json"
	cp "$results/$name-plot/totals.svg" "$plots/$name-totals.svg"
	cp "$results/$name-plot/cdf.svg" "$plots/$name-cdf.svg"
	picture "$what: time until the last touch" "$name-totals.svg"
	picture "$what: latency of a touch" "$name-cdf.svg"
}

write_first_touches() {
	local name
	printf '\n%s\n\nWhere the recorded sets of two of the functions, and of the guests, lie in guest memory, in the order of first touch: what a prefetch of a raw image has to gather, and what an optimized snapshot stores in this order. `uffdbench --make-trace FILE --workload NAME` writes them, `lazymem trace plot` draws them.\n' "$dirty_next"
	for name in "${drawn[@]}"; do
		picture "First touches of $name" "first-touch-$name.svg"
	done
}

main() {
	local entry name what arguments
	parse "$@"
	install_packages build-essential cmake ninja-build pkg-config liburing-dev libzstd-dev liblz4-dev \
		jq gnuplot-nox
	build "$build_dir" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF -DLAZYMEM_EXAMPLES=OFF
	mkdir -p "$results" "$plots"
	results=$(realpath "$results")
	build_dir=$(realpath "$build_dir")
	if [ -n "$only_dirty" ]; then
		measure_dirty
		write_dirty | tail -n +2 >"$results/dirty.md"
		replace_dirty >"$page.part"
		mv "$page.part" "$page"
		say "written: that section of $page"
		return
	fi
	make_guest
	draw_first_touches
	for entry in "${runs[@]}"; do
		IFS='|' read -r name what arguments <<<"$entry"
		measure "$name" "$arguments"
	done
	measure_dirty
	write_page >"$page.part"
	mv "$page.part" "$page"
	say "written: $page"
}

main "$@"
