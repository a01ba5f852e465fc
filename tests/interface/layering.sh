#!/bin/bash
# uffd -> backing -> core, and never the other way: in what is included, and in
# what the objects ask the linker for. Programs see public headers only. Each
# outside world has one door.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$source_dir"

# includes PATH...: "file:name" for each #include below the paths.
includes() {
	grep -rE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' "$@" |
		sed -E 's/^([^:]*):.*[<"]([^>"]*)[>"].*/\1:\2/'
}

# forbid LAYER ABOVE: nothing in LAYER includes a header of ABOVE.
forbid() {
	local layer=$1 above=$2 pattern="^$2/" header found
	for header in "$above"/include/lazymem/*.h; do
		pattern+="|^lazymem/$(basename "$header")\$"
	done
	found=$(includes "$layer" | awk -F: -v pattern="$pattern" '$2 ~ pattern')
	[ -z "$found" ] || offend "$layer includes what is in $above:"$'\n'"$found"
}

# door HEADER FILE: of the library, only FILE includes HEADER.
door() {
	local header=$1 door=$2 found
	found=$(includes core backing uffd | awk -F: -v header="$header" '$2 == header { print $1 }')
	[ "$found" = "$door" ] || offend "$header must be included in $door alone; found in: $found"
}

# names LAYER KIND: our symbols that its objects define, or leave undefined.
names() {
	find "$build_dir/CMakeFiles/lm_$1.dir" -name '*.o' -print0 | xargs -0 nm -g "--$2-only" |
		awk '{ print $NF }' | grep -E '^(lm|lazymem)_' | sort -u
}

# self_sufficient LAYER...: the last of them needs nothing but these.
self_sufficient() {
	local layer=${*: -1} missing
	missing=$(comm -23 <(names "$layer" undefined) \
		<(for below in "$@"; do names "$below" defined; done | sort -u))
	[ -z "$missing" ] || offend "$layer needs what no layer below it has:"$'\n'"$missing"
}

forbid core backing
forbid core uffd
forbid backing uffd
self_sufficient core
self_sufficient core backing
self_sufficient core backing uffd

door liburing.h backing/queue.c
door zstd.h backing/codec_zstd.c
door zstd_errors.h backing/codec_zstd.c
door lz4.h backing/codec_lz4.c
door lz4hc.h backing/codec_lz4.c
door libnbd.h backing/nbd_connection.c
door linux/userfaultfd.h uffd/uapi.h
door uffd/uapi.h uffd/userfaultfd.c

programs=()
for room in tools docs/examples tests/system tests/support tests/tools; do
	[ ! -d "$room" ] || programs+=("$room")
done
found=$(includes "${programs[@]}" | awk -F: '$2 ~ "^(core|backing|uffd)/" || $2 ~ "\\.\\./"')
[ -z "$found" ] || offend "programs include more than public headers:"$'\n'"$found"
report
