#!/bin/bash
# demo.sh - restore the memory of a guest on demand, check every page, compare
# with doing it otherwise, and run a guest that is restored and migrated.
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
into a snapshot, and compares. Then a guest on KVM is saved, restored on demand, and
migrated to another process. What was made is removed at the end.
END
}

packages=(build-essential cmake ninja-build pkg-config liburing-dev libzstd-dev
	liblz4-dev libnbd-dev nbdkit)
build_dir=$root_dir/build-demo
directory=${TMPDIR:-/var/tmp}
memory=1G
work=
half=
machines=()

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
	printf '\n[%s/9] %s\n' "$1" "${*:2}"
}

build_all() {
	step 1 "Building the library, the benchmark and the examples in $build_dir"
	install_packages "${packages[@]}"
	build "$build_dir" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF \
		-DLAZYMEM_EXAMPLES=ON -DLAZYMEM_TOOLS=ON
	uffdbench=$build_dir/tools/uffdbench/uffdbench
	restore=$build_dir/docs/examples/restore
	lazymem=$build_dir/tools/lazymem/lazymem
	lazyvm=$build_dir/tools/lazyvm/lazyvm
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

# ---- a guest on KVM -----------------------------------------------------------

end_machines() {
	local machine
	for machine in "${machines[@]}"; do
		kill "$machine" 2>/dev/null || true
	done
	wait
}

# machine NAME COMMAND [ARGUMENT...]: lazyvm in the background, with a control socket.
machine() {
	local name=$work/$1 command=$2
	shift 2
	: >"$name.serial"
	: >"$name.output"
	"$lazyvm" "$command" --kind memfd --control "$name.socket" --serial "$name.serial" "$@" \
		>"$name.output" 2>"$name.errors" &
	machines+=($!)
}

# says FILE COUNT PATTERN: wait until so many of its lines match.
says() {
	local tries
	for ((tries = 0; tries < 1200; tries++)); do
		[ "$(grep -cE -- "$3" "$work/$1")" -lt "$2" ] || return 0
		sleep 0.05
	done
	die "$1 never says '$3': $(tail -n 3 "$work/${1%.*}".*)"
}

# status NAME WORD: the value of that word in its status.
status() {
	"$lazyvm" status --control "$work/$1.socket" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

# goes_on NAME: both vCPUs check all of the memory once more, and find every page right.
goes_on() {
	says "$1.serial" 4 'ended sweep'
	! grep -hE 'BAD' "$work"/*.serial || die "the guest has found a bad page"
}

restore_guest() {
	local report
	step 8 "A guest of 64 MiB with 2 vCPUs, which writes and checks all of its memory without
      pause: saved while it runs, ended, and restored on demand"
	machine first run --memory 64M --vcpus 2 "$build_dir/tools/lazyvm/payloads/writer"
	says first.serial 2 'ended sweep 1$'
	report=$("$lazyvm" snapshot --control "$work/first.socket" "$work/guest.snapshot")
	printf '  snapshot: %s\n' "$report"
	"$lazyvm" quit --control "$work/first.socket"
	machine second restore "$work/guest.snapshot"
	goes_on second
	printf '  restored: first instruction after %s us, then %s faults; it goes on, every page right\n' \
		"$(status second first-run-us)" "$(status second faults)"
}

migrate_guest() {
	local port report
	step 9 "The same guest goes to another process, which pulls its memory while it runs"
	machine third receive --listen 127.0.0.1:0
	says third.output 1 'listening on port'
	port=$(sed -n 's/.*listening on port //p' "$work/third.output")
	report=$("$lazyvm" migrate --control "$work/second.socket" "127.0.0.1:$port")
	printf '  %s\n' "$report"
	goes_on third
	"$lazyvm" quit --control "$work/third.socket"
	printf '  it goes on there, every page right\n'
}

run_guests() {
	if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
		restore_guest
		migrate_guest
	else
		printf '\n[8/9] [9/9] No guest is run: there is no /dev/kvm, or no permission for it\n'
	fi
}

parse "$@"
trap 'end_machines; [ -z "$work" ] || rm -rf "$work"' EXIT
build_all
check_permission
SECONDS=0
make_image
restore_image
replay_trace
make_snapshot
compare_working_sets
compare
run_guests
printf '\nEvery page was as in the image. %s s after the build.\n' "$SECONDS"
printf 'The programs are in %s/tools; README.md says what to try next.\n' "$build_dir"
