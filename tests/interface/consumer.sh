#!/bin/bash
# A project that knows only the installed files builds against them, with CMake
# and with pkg-config, shared and static, and runs.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"

cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build_dir" --prefix "$work/prefix" >/dev/null
# A package must work from wherever it was moved to.
mv "$work/prefix" "$work/moved"
prefix=$work/moved
libdir=$(dirname "$(find "$prefix" -name liblazymem.a)")
cp -r "$source_dir/tests/interface/consumer" "$work/project"

# says PROGRAM: it runs, and says what it must.
says() {
	local output
	output=$(LD_LIBRARY_PATH=$libdir "$1") || offend "$1: fails"
	[ "$output" = "lazymem 0.1.0: 42" ] || offend "$1: says \"$output\""
}

if ! { cmake -S "$work/project" -B "$work/build" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$work/build"; } >"$work/log" 2>&1; then
	cat "$work/log" >&2
	offend "find_package(lazymem) does not work"
fi
says "$work/build/shared"
says "$work/build/static"

export PKG_CONFIG_PATH=$libdir/pkgconfig
# shellcheck disable=SC2046 # flags are words
"$cc" "$work/project/main.c" -o "$work/pc-shared" $(pkg-config --cflags --libs lazymem)
# shellcheck disable=SC2046
"$cc" -static "$work/project/main.c" -o "$work/pc-static" \
	$(pkg-config --static --cflags --libs lazymem)
says "$work/pc-shared"
says "$work/pc-static"

grep -q 'NEEDED.*\[liblazymem\.so\.0\]' <<<"$(readelf -d "$work/pc-shared")" ||
	offend "the soname is not liblazymem.so.0"

for header in $(public_headers); do
	[ -f "$prefix/include/lazymem/$(basename "$header")" ] || offend "$header: not installed"
done
for page in "$source_dir"/docs/man/*.[1-8]; do
	[ -f "$prefix/share/man/man${page##*.}/$(basename "$page")" ] ||
		offend "$page: not installed"
done
report
