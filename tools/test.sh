#!/bin/bash
# test.sh - install what the tests need, build, and run them all.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"

usage() {
	cat <<'END'
usage: tools/test.sh [--build-dir DIRECTORY] [--compiler COMMAND]
                     [--sanitize LIST] [--filter REGEX] [--library-only]

  --build-dir DIRECTORY  build there (default: build)
  --compiler COMMAND     gcc or clang (default: cc)
  --sanitize LIST        as for -fsanitize=: address,undefined or thread
  --filter REGEX         only the tests whose names match
  --library-only         build no tools, and leave out what tests them
  --help                 print this

Installs the Debian packages that are missing, reserves huge pages for the
tests and puts the pool back afterwards; both need root or sudo. A test that
could not be run is named with its reason; with CI=true it counts as failed.
END
}

packages=(build-essential cmake ninja-build pkg-config liburing-dev libzstd-dev liblz4-dev libnbd-dev
	libjansson-dev libcmocka-dev mandoc clang-format shellcheck gnuplot-nox jq strace
	qemu-system-x86 busybox-static cpio nbdkit libnbd-bin gnutls-bin libgnutls28-dev iproute2 procps)
build_dir=$root_dir/build
compiler=cc
sanitize=
filter=.
parts=ON

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--library-only)
			parts=OFF
			shift
			continue
			;;
		--build-dir | --compiler | --sanitize | --filter)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		case $1 in
		--build-dir) build_dir=$2 ;;
		--compiler) compiler=$2 ;;
		--sanitize) sanitize=$2 ;;
		--filter) filter=$2 ;;
		esac
		shift 2
	done
}

# ---- huge pages: "FILE PAGES" for each pool that was enlarged by so many ----------

pools=()

set_pool() {
	printf '%s\n' "$2" | as_root tee "$1" >/dev/null 2>&1 || true
}

# unreserved DIRECTORY: pages that are free and promised to nobody.
unreserved() {
	echo $(($(cat "$1/free_hugepages") - $(cat "$1/resv_hugepages")))
}

# enlarge KIB PAGES: the pool of that page size has at least so many free pages.
enlarge() {
	local directory=/sys/kernel/mm/hugepages/hugepages-$1kB wanted=$2 total free
	[ -e "$directory/nr_hugepages" ] || return 0
	total=$(cat "$directory/nr_hugepages")
	free=$(unreserved "$directory")
	[ "$free" -lt "$wanted" ] || return 0
	set_pool "$directory/nr_hugepages" $((total + wanted - free))
	pools+=("$directory/nr_hugepages $(($(cat "$directory/nr_hugepages") - total))")
	free=$(unreserved "$directory")
	[ "$free" -ge "$wanted" ] || say "only $free of $wanted pages of $1 KiB could be reserved"
}

# What was added is taken away: somebody else may have changed the pool meanwhile.
restore_pools() {
	local pool file
	for pool in "${pools[@]}"; do
		file=${pool% *}
		set_pool "$file" $(($(cat "$file") - ${pool#* }))
	done
	pools=()
}

reserve_hugepages() {
	if ! can_be_root; then
		say "not root: no huge pages are reserved"
		return 0
	fi
	say "reserving huge pages for the tests: 64 of 2 MiB, 1 of 1 GiB (as root)"
	trap restore_pools EXIT
	enlarge 1048576 1
	enlarge 2048 64
}

# ---- the tests ------------------------------------------------------------------

# run_ctest: its output is shown and kept. A sanitizer's shadow memory has a
# fixed place, which address randomisation may take.
run_ctest() {
	local fixed=()
	if [ -n "$sanitize" ] && setarch -R true 2>/dev/null; then
		fixed=(setarch -R)
	fi
	"${fixed[@]}" ctest --test-dir "$build_dir" --output-on-failure --no-tests=error \
		-j "$(nproc)" -R "$filter" </dev/null 2>&1 | tee "$build_dir/ctest.log"
}

# print_skips: each test, or function of a test, that was not run, and why.
print_skips() {
	awk '
		/^[0-9]+\/[0-9]+ Test: / { name = $3; last = "" }
		/\[  SKIPPED \] [a-z]/ { print "skipped: " name ": " $NF ": " last; next }
		/^Test (Skipped|time)/ { next }
		/^skipped: / { print "skipped: " name ": " substr($0, 10); next }
		NF && !/^(\[|<end of output>|-----|Test |"|Output:|Command:|Directory:)/ { last = $0 }
	' "$build_dir/Testing/Temporary/LastTest.log" | sort -u
	grep -E '^[[:space:]]*[0-9]+ - .* \(Skipped\)$' "$build_dir/ctest.log" || true
}

# close_with STATUS: skips, then ctest's closing line, then the end.
close_with() {
	local status=$1 skips
	skips=$(print_skips)
	if [ -n "$skips" ]; then
		printf '\nnot run:\n%s\n' "$skips"
		if [ "${CI:-}" = true ] && [ "$status" -eq 0 ]; then
			printf 'with CI=true every test must run\n'
			status=1
		fi
	fi
	grep -E '% tests passed' "$build_dir/ctest.log" || status=1
	exit "$status"
}

parse "$@"
cd "$root_dir"
case $compiler in *clang*) packages+=(clang libclang-rt-14-dev) ;; esac
install_packages "${packages[@]}"
reserve_hugepages
say "building in $build_dir"
build "$build_dir" -DCMAKE_C_COMPILER="$compiler" -DLAZYMEM_SANITIZE="$sanitize" \
	-DLAZYMEM_TESTS=ON -DLAZYMEM_TOOLS="$parts" -DLAZYMEM_EXAMPLES="$parts"
say "running the tests"
status=0
run_ctest || status=$?
close_with "$status"
