#!/bin/bash
# vm-figures.sh - measure restores and migrations of lazyvm, beside stock QEMU and
# nbdcopy, and write a page from the JSON of the runs.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=tools/guest.sh
. "$(dirname "$0")/guest.sh"
# shellcheck source=tools/qemu/build.sh
. "$(dirname "$0")/qemu/build.sh"

usage() {
	cat <<'END_OF_USAGE'
usage: tools/vm-figures.sh [--parts LIST] [--sizes LIST] [--total MIB] [--repeat N]
                           [--memory SIZE] [--build-dir DIRECTORY] [--results DIRECTORY]
                           [--directory DIRECTORY] [--page FILE] [--plots DIRECTORY]

Measure, part by part:

  post-copy  uffdbench --post-copy: faults over NBD, with and without everything else
             being brought, and the rate of that beside nbdcopy
  restore    lazyvm restore: time to the guest's first instruction, for several
             sizes of memory, and with all of it read before
  pause      lazyvm migrate: how long the guest stands still, for several sizes, and
             when all of its memory is copied meanwhile
  total      lazyvm migrate: how long all of it takes, beside the post-copy of stock
             QEMU for as much memory

  --parts LIST           these, with commas between them (default: all); the page has
                         those of which there are results
  --sizes LIST           MiB of restore and pause, with commas (default: 256,1024,4096)
  --total MIB            what QEMU's guest fills in total (default: 1024; from 64 to 2816)
  --repeat N             each so many times (default: 5; from 1 to 1000)
  --memory SIZE          of post-copy, as for uffdbench (default: 2G)
  --build-dir DIRECTORY  build there (default: build-vm-figures)
  --results DIRECTORY    the JSON of each part (default: BUILD-DIR/results); a part
                         whose file is there already is not measured again
  --directory DIRECTORY  images are kept there while it runs (default: TMPDIR or /var/tmp)
  --page FILE            what is written (default: docs/migration.md)
  --plots DIRECTORY      where its drawings go (default: plots beside the page)
  --help                 print this

Installs the Debian packages that are missing (as root, or with sudo). Needs /dev/kvm,
permission for userfaultfd, and a machine that does nothing else for about ten minutes.
END_OF_USAGE
}

all_parts=(post-copy restore pause total)
parts=("${all_parts[@]}")
sizes=256,1024,4096
total=1024
repeat=5
memory=2G
build_dir=$root_dir/build-vm-figures
results=
directory=${TMPDIR:-/var/tmp}
page=$root_dir/docs/migration.md
plots=
work=

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--parts | --sizes | --total | --repeat | --memory | --build-dir | --results | \
			--directory | --page | --plots)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		case $1 in
		--parts) IFS=, read -r -a parts <<<"$2" ;;
		--sizes) sizes=$2 ;;
		--total) total=$2 ;;
		--repeat) repeat=$2 ;;
		--memory) memory=$2 ;;
		--build-dir) build_dir=$2 ;;
		--results) results=$2 ;;
		--directory) directory=$2 ;;
		--page) page=$2 ;;
		--plots) plots=$2 ;;
		esac
		shift 2
	done
	results=${results:-$build_dir/results}
	plots=${plots:-$(dirname "$page")/plots}
	check
}

check() {
	local part size
	local numbers=()
	[ "${#parts[@]}" -gt 0 ] || die "--parts names none"
	for part in "${parts[@]}"; do
		case " ${all_parts[*]} " in
		*" $part "*) ;;
		*) die "--parts: unknown part $part; see --help" ;;
		esac
	done
	IFS=, read -r -a numbers <<<"$sizes"
	[ "${#numbers[@]}" -gt 0 ] || die "--sizes names none"
	for size in "${numbers[@]}"; do
		check_range --sizes "$size" 16 65536
		[ $((10#$size % 2)) -eq 0 ] || die "--sizes $((10#$size)) is no multiple of 2"
	done
	check_memory
	check_range --total "$total" 64 2816
	check_range --repeat "$repeat" 1 1000
	[ -d "$directory" ] || die "there is no directory $directory"
	[ -d "$(dirname "$page")" ] || die "$page: there is no directory $(dirname "$page")"
	[ ! -d "$page" ] || die "$page is a directory"
}

# As uffdbench would, once everything is built.
check_memory() {
	local shift=0
	[[ $memory =~ ^[0-9]{1,12}[KMG]?$ ]] ||
		die "--memory $memory is no size: give bytes, or a number with K, M or G"
	case $memory in
	*K) shift=10 ;;
	*M) shift=20 ;;
	*G) shift=30 ;;
	esac
	[ $((10#${memory%[KMG]} << shift)) -ge $((64 << 20)) ] ||
		die "--memory $memory is less than 64M"
}

# check_range OPTION VALUE FROM TO
check_range() {
	case $2 in
	*[!0-9]* | '' | ??????*) die "$1 $2 is no number" ;;
	esac
	[ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || die "$1 $2 is not from $3 to $4"
}

clean_up() {
	[ -z "$work" ] || rm -rf "$work"
}

# Before whatever else the machine has to do in the background, where that is
# permitted. Guests are not: those that never rest would keep everything else out.
realtime=()
! chrt -r 20 true 2>/dev/null || realtime=(chrt -r 20)

measure_post_copy() {
	"${realtime[@]}" "$build_dir/tools/uffdbench/uffdbench" --post-copy --memory "$memory" \
		--repeat "$repeat" --directory "$work" --json "$work/post-copy.json"
	mv "$work/post-copy.json" "$results/post-copy.json"
}

measure() {
	local part=$1
	[ ! -s "$results/$part.json" ] || return 0
	say "measuring: $part"
	if [ "$part" = post-copy ]; then
		measure_post_copy
		return
	fi
	[ "$part" != total ] || build_guest "$work"
	python3 -B "$root_dir/tools/vm/main.py" --part "$part" --work "$work" \
		--lazyvm "$build_dir/tools/lazyvm/lazyvm" \
		--payloads "$build_dir/tools/lazyvm/payloads" --sizes "$sizes" --total "$total" \
		--repeat "$repeat" --output "$results/$part.json"
}

write_page() {
	local part
	local there=()
	for part in "${all_parts[@]}"; do
		[ ! -s "$results/$part.json" ] || there+=("$part")
	done
	python3 -B "$root_dir/tools/vm/report.py" --results "$results" --page "$page" \
		--plots "$plots" "${there[@]}"
	say "written: $page"
}

main() {
	local part
	parse "$@"
	[ -w /dev/kvm ] || die "/dev/kvm is not writable, or there is none"
	install_packages cmake ninja-build pkg-config liburing-dev libzstd-dev liblz4-dev libnbd-dev \
		libnbd-bin nbdkit gnuplot-nox "${guest_packages[@]}"
	say "building"
	build "$build_dir" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF -DLAZYMEM_EXAMPLES=OFF
	mkdir -p "$results" "$plots"
	build_dir=$(realpath "$build_dir")
	trap clean_up EXIT
	work=$(mktemp -d "$directory/vm-figures.XXXXXX")
	for part in "${parts[@]}"; do
		measure "$part"
	done
	write_page
}

main "$@"
