#!/bin/bash
# The shared library exports what the headers declare and the version map lists,
# and no object defines a global name without our prefix.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compare NAME NAME: two sorted lists are the same.
compare() {
	diff -u --label "$1" --label "$2" "$work/$1" "$work/$2" >&2 || offend "$1 and $2 differ"
}

declared_symbols >"$work/headers"
sed -n 's/^[[:space:]]*\(lazymem_[a-z0-9_]*\);$/\1/p' "$source_dir/core/lazymem.map" |
	sort >"$work/map"
nm -D --defined-only "$build_dir/liblazymem.so" | awk '$2 != "A" { print $3 }' |
	sed 's/@@LAZYMEM_0\.1$//' | sort >"$work/exports"

[ -s "$work/headers" ] || offend "no public symbol was found in the headers"
compare headers map
compare map exports
if grep -v '^lazymem_' "$work/exports" >&2; then
	offend "exported without the prefix lazymem_"
fi
if nm -g --defined-only "$build_dir/liblazymem.a" | awk 'NF == 3 { print $3 }' |
	grep -Ev '^(lazymem_|lm_)' >&2; then
	offend "global in the static library without a prefix of ours"
fi
report
