#!/bin/bash
# qemu-guest.sh - a real Linux guest in a stock QEMU, snapshotted, and restored
# on demand in every way that there is; the guest itself checks its memory.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=tools/guest.sh
. "$(dirname "$0")/guest.sh"
# shellcheck source=tools/qemu/build.sh
. "$(dirname "$0")/qemu/build.sh"

usage() {
	cat <<'END'
usage: tools/qemu-guest.sh [--full | --times N] [--memory MIB] [--in-use MIB]
                           [--balloon] [--kvm] [--backports]
                           [--figures | --no-figures] [--json FILE]
                           [--lazymem PROGRAM] [--directory DIRECTORY]

Make a small guest of Debian's cloud kernel and busybox, snapshot it, and restore
it: by QEMU eagerly, and by lazymem run from the raw memory file, from a snapshot
with its working set, over a chain of diffs, and once more from what QEMU itself
snapshotted after a restore. After each restore the guest checks every word of
its memory and runs programs. Then QEMU migrates and dumps guests that are only
partly there, and a table compares what restores cost.

  --times N              each kind of restore N times, each with another seed (default: 5)
  --full                 the same as --times 20 --balloon --backports
  --memory MIB           memory of the guest (default: 2048; from 256 to 3072)
  --in-use MIB           what its workload fills (default: 256; at most half of the memory)
  --balloon              restore also while its balloon inflates and deflates
  --kvm                  with KVM in place of software emulation
  --backports            with the QEMU of bookworm-backports as well
  --figures              only the table
  --no-figures           everything but the table
  --json FILE            write the figures of each QEMU to FILE, one object a line
  --lazymem PROGRAM      the lazymem to run (default: built in build-qemu-guest)
  --directory DIRECTORY  images are kept there while it runs (default: TMPDIR or /var/tmp)
  --help                 print this

Installs the Debian packages that are missing (as root, or with sudo); the kernel
and the QEMU of bookworm-backports are unpacked from their packages, not
installed. Cold figures need root; memory files are made in /dev/shm.
END
}

times=5
memory=2048
in_use=256
balloon=no
accelerator=tcg
backports=no
parts=show,figures
json=
lazymem=
directory=${TMPDIR:-/var/tmp}
work=

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--full) times=20 balloon=yes backports=yes ;;
		--balloon) balloon=yes ;;
		--kvm) accelerator=kvm ;;
		--backports) backports=yes ;;
		--figures) parts=figures ;;
		--no-figures) parts=show ;;
		--times | --memory | --in-use | --json | --lazymem | --directory)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			parse_value "$1" "$2"
			shift
			;;
		*) die "unknown argument $1; see --help" ;;
		esac
		shift
	done
	check_range --times "$times" 1 1000
	check_range --memory "$memory" 256 3072
	check_range --in-use "$in_use" 16 $((memory / 2))
	[ -z "$json" ] || [ -d "$(dirname "$json")" ] || die "$json: there is no directory $(dirname "$json")"
	[ -d "$directory" ] || die "there is no directory $directory"
	[ -z "$lazymem" ] || [ -x "$lazymem" ] || die "$lazymem cannot be run"
	[ "$accelerator" != kvm ] || [ -w /dev/kvm ] || die "--kvm: /dev/kvm is not writable"
}

parse_value() {
	case $1 in
	--times) times=$2 ;;
	--memory) memory=$2 ;;
	--in-use) in_use=$2 ;;
	--json) json=$2 ;;
	--lazymem) lazymem=$2 ;;
	--directory) directory=$2 ;;
	esac
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

# show PROGRAM DATA LIBRARIES: everything, with that QEMU; the last two may be empty.
show() {
	local version
	version=$(LD_LIBRARY_PATH=$3 qemu_version "$1")
	say "QEMU $version"
	python3 -B "$root_dir/tools/qemu/main.py" --qemu "$1" --data "$2" --libraries "$3" \
		--version "$version" --work "$work" --lazymem "$lazymem" --times "$times" \
		--memory "$memory" --in-use "$in_use" --balloon "$balloon" \
		--accelerator "$accelerator" --parts "$parts" --json "$json"
}

parse "$@"
install_packages "${guest_packages[@]}"
trap clean_up EXIT
work=$(mktemp -d "$directory/qemu-guest.XXXXXX")
[ -z "$json" ] || { : >"$json" && json=$(realpath "$json"); }
if [ -n "$lazymem" ]; then
	lazymem=$(realpath "$lazymem")
else
	build_lazymem
fi
build_guest "$work"
build_page_at_a_time "$work"
show qemu-system-x86_64 '' ''
if [ "$backports" = yes ] && unpack_backports "$work"; then
	show "$backports_qemu" "$backports_data" "$backports_libraries"
fi
