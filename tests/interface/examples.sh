#!/bin/bash
# The examples run, and do what they say: on anonymous memory and on a memfd,
# with a trace recorded and replayed.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"

examples=$build_dir/docs/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

reason=$("$examples/restore" --check 2>&1) || skip "$reason"

# make_image FILE: 64 MiB of data and holes, beginning with four known bytes.
make_image() {
	local mib
	truncate -s 64M "$1"
	for mib in 0 3 4 17 40 63; do
		dd if=/dev/urandom of="$1" bs=1M seek="$mib" count=1 conv=notrunc status=none
	done
	printf '\x78\x56\x34\x12' | dd of="$1" conv=notrunc status=none
}

# expect TEXT PROGRAM...: it ends well and its output has TEXT.
expect() {
	local text=$1 output
	shift
	output=$("$@" 2>&1) || offend "$*: fails: $output"
	grep -qF -- "$text" <<<"$output" || offend "$*: does not say \"$text\" but: $output"
}

# refuse TEXT PROGRAM...: it ends with 1 and says TEXT.
refuse() {
	local text=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	[ "$status" -eq 1 ] || offend "$*: ends with $status"
	grep -qF -- "$text" <<<"$output" || offend "$*: does not say \"$text\" but: $output"
}

make_image "$work/image"
truncate -s 67108000 "$work/image.odd" # ends inside a page

expect "begins with 0x12345678" "$examples/embed" "$work/image"
refuse "$work/none" "$examples/embed" "$work/none"

restored="every page is as in the image"
expect "$restored" "$examples/restore" --record "$work/trace" "$work/image"
expect "$restored" "$examples/restore" --replay "$work/trace" "$work/image"
expect "$restored" "$examples/restore" --memfd "$work/image"
expect "$restored" "$examples/restore" "$work/image.odd"
refuse "$work/none" "$examples/restore" "$work/none"
refuse "$work/image" "$examples/restore" --replay "$work/image" "$work/image"
report
