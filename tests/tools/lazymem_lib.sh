#!/bin/bash
# lazymem_lib.sh - what the tests of the lazymem command share. Sourced after
# lib.sh; the second argument of a test is make_file.

# shellcheck disable=SC2034,SC2154 # the tests use these; lib.sh has set those
make_file=$2

# random FILE BYTES: bytes that do not compress.
random() {
	head -c "$2" /dev/urandom >"$1"
}

# words FILE BYTES: bytes that do.
words() {
	{ yes 'the quick brown fox jumps over the lazy dog' 2>/dev/null || true; } | head -c "$2" >"$1"
}

# place SOURCE TARGET PAGE: the bytes of a file at a page of another one.
place() {
	dd if="$1" of="$2" bs=4096 seek="$3" conv=notrunc status=none
}

# mixed FILE PAGES: an image with data of both kinds, zeros and holes.
mixed() {
	local file=$1 pages=$2 page
	rm -f "$file"
	truncate -s "$((pages * 4096))" "$file"
	random "$work/random" 40960
	words "$work/words" 81920
	head -c 8192 /dev/zero >"$work/zeros"
	for ((page = 0; page + 64 <= pages; page += 64)); do
		place "$work/random" "$file" $((page + 3))
		place "$work/words" "$file" $((page + 20))
		place "$work/zeros" "$file" $((page + 50))
	done
}

# same A B: the bytes of two files are equal.
same() {
	cmp "$1" "$2" >"$work/output" 2>&1 || fail "$1 and $2 differ"
}

# exports SNAPSHOT IMAGE: what comes out is the image, and verify is content.
exports() {
	succeeds export "$1" "$work/exported"
	same "$2" "$work/exported"
	succeeds verify "$1"
	rm "$work/exported"
}

# member FILE FILTER: what jq finds in the JSON of info.
member() {
	"$program" info --json "$1" | jq -c "$2"
}

# is FILE FILTER VALUE: a member of the JSON of info has this value.
is() {
	local value
	value=$(member "$1" "$2") || fail "info --json $1 is no JSON"
	[ "$value" = "$3" ] || fail "$2 of $1 is $value, not $3"
}

# has_compression NAME: this build can write it.
has_compression() {
	"$program" create --compress "$1" "$work/image" "$work/probe" 2>/dev/null
}
