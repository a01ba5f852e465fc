#!/bin/bash
# record-traces.sh - record the workloads boot, http and sort of uffdbench again.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/../setup.sh"
# shellcheck source=tools/guest.sh
. "$root_dir/tools/guest.sh"
# shellcheck source=tools/qemu/build.sh
. "$root_dir/tools/qemu/build.sh"

usage() {
	cat <<'END'
usage: tools/qemu/record-traces.sh [--lazymem PROGRAM] [DIRECTORY]

Record what a Linux guest of 512 MiB touches, page by page, each twice:

  boot   from power-on to the first heartbeat; its workload fills 16 MiB
  http   restored, until a web server in it has answered one request
  sort   restored, until it has sorted and counted lines of text

into DIRECTORY (default: tools/uffdbench/traces) as boot-1.trace.gz and so on.
Takes a minute, and what qemu-guest.sh needs.
END
}

lazymem=
directory=$root_dir/tools/uffdbench/traces
work=

parse() {
	case ${1:-} in
	--help)
		usage
		exit 0
		;;
	--lazymem)
		[ $# -ge 2 ] || die "--lazymem needs a value; see --help"
		[ -x "$2" ] || die "$2 cannot be run"
		lazymem=$(realpath "$2")
		shift 2
		;;
	-*) die "unknown option $1; see --help" ;;
	esac
	[ $# -le 1 ] || die "more than one directory: $2; see --help"
	directory=${1:-$directory}
	[ -d "$directory" ] || die "there is no directory $directory"
}

parse "$@"
install_packages "${guest_packages[@]}"
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d "${TMPDIR:-/var/tmp}/record-traces.XXXXXX")
[ -n "$lazymem" ] || build_lazymem
build_guest "$work"
say "recording"
python3 -B "$root_dir/tools/qemu/record.py" --work "$work" --lazymem "$lazymem" \
	--memory 512 --in-use 16 --output "$directory"
