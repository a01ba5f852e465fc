#!/bin/bash
# demo.sh - restore the memory of a guest on demand, check every page, and
# compare with doing it otherwise.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"

usage() {
	cat <<'END'
usage: tools/demo.sh [--short] [--memory SIZE] [--build-dir DIRECTORY] [--directory DIRECTORY]

  --short                  256 MiB of guest memory in place of 1 GiB
  --memory SIZE            so much, as 512M or 2G
  --build-dir DIRECTORY    build there (default: build-demo)
  --directory DIRECTORY    keep the image there while it runs (default: TMPDIR or /var/tmp)
  --help                   print this

Installs the Debian packages that are missing (as root, or with sudo), builds,
makes an image with data, zero pages and holes, restores it on demand, turns it
into a snapshot, and compares. What was made is removed at the end.
END
}

packages=(build-essential cmake ninja-build pkg-config liburing-dev libzstd-dev
	liblz4-dev)
build_dir=$root_dir/build-demo
directory=${TMPDIR:-/var/tmp}
memory=1G
work=
half=

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--short)
			memory=256M
			shift
			continue
			;;
		--memory | --build-dir | --directory)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		case $1 in
		--memory) memory=$2 ;;
		--build-dir) build_dir=$2 ;;
		--directory) directory=$2 ;;
		esac
		shift 2
	done
}

# step N TEXT...: announce it.
step() {
	printf '\n[%s/7] %s\n' "$1" "${*:2}"
}

build_all() {
	step 1 "Building the library, the benchmark and the examples in $build_dir"
	install_packages "${packages[@]}"
	build "$build_dir" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF \
		-DLAZYMEM_EXAMPLES=ON -DLAZYMEM_TOOLS=ON
	uffdbench=$build_dir/tools/uffdbench/uffdbench
	restore=$build_dir/docs/examples/restore
	lazymem=$build_dir/tools/lazymem/lazymem
}

# Asked before anything is made: the message says what is missing and how to give it.
check_permission() {
	local status=0
	"$restore" --check || status=$?
	[ "$status" -eq 0 ] || exit "$status"
}

make_image() {
	step 2 "Making an image of $memory: pages of data that all differ, zero pages, and holes"
	work=$(mktemp -d "$directory/lazymem-demo.XXXXXX")
	image=$work/memory.img
	"$uffdbench" --make-image "$image" --memory "$memory" --workload mixed
	printf '  %s in length, %s on disk\n' "$(du -h --apparent-size "$image" | cut -f1)" \
		"$(du -h "$image" | cut -f1)"
}

restore_image() {
	step 3 "Restoring it on demand: a page is read when it is first touched"
	"$restore" --record "$work/trace" "$image"
}

replay_trace() {
	step 4 "The same start again, its working set prefetched in the order recorded"
	"$restore" --replay "$work/trace" "$image"
}

# In two regions, as the restored guest was: half of it from 4 GiB on. The trace is
# bound to the image, and so goes into the snapshot of it.
make_snapshot() {
	step 5 "A snapshot of the image: compressed where that gains, a checksum for each page, its working set first"
	half=$(($(stat -c %s "$image") / 2))
	"$lazymem" create --region 0:$half --region 4G:$half --compress lz4 --trace "$work/trace" "$image" "$work/memory.snapshot"
	"$lazymem" info "$work/memory.snapshot"
	"$lazymem" verify "$work/memory.snapshot"
}

compare_working_sets() {
	step 6 "A cold start of a small function: the kernel's own mapping of the file; its working
      set read in one go, the guest waiting (reap); the same with lazymem out of a snapshot,
      the guest running meanwhile"
	"$uffdbench" --directory "$work" --workload helloworld --source cold \
		--repeat 3 kernel reap lazymem-snapshot
}

compare() {
	step 7 "Side by side: the kernel's own mapping of the file, one read and one copy a fault
      in a loop (naive), lazymem on demand, and lazymem that fills the rest meanwhile"
	"$uffdbench" --image "$image" --memory "$memory" --workload mixed --source cached \
		--repeat 1 kernel naive lazymem lazymem-fill
}

parse "$@"
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
build_all
check_permission
SECONDS=0
make_image
restore_image
replay_trace
make_snapshot
compare_working_sets
compare
printf '\nEvery page was as in the image. %s s after the build.\n' "$SECONDS"
